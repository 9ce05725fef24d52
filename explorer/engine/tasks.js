/** Turns of the event loop: long work that lets the page live in between. */

const WORK_SPAN = 12; // milliseconds of work between two turns

/**
 * Waits until the page has had a turn. A message comes back at once, where a timer that is set again
 * and again waits 4 milliseconds.
 *
 * @returns {Promise<void>}
 */
export function nextTask() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}

/** @returns {() => Promise<void>} waits for the next turn if there was none for a while */
export function taskPauses() {
  let since = performance.now();
  return async () => {
    if (performance.now() - since > WORK_SPAN) {
      await nextTask();
      since = performance.now();
    }
  };
}
