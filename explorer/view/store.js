// The state of one explorer: a plain object. Views are functions of it; they are told once a
// frame, however often it has changed.

export function createStore(state) {
  const listeners = new Set();
  let waiting = false;
  const tell = () => {
    waiting = false;
    listeners.forEach((listener) => listener(state));
  };
  return {
    get state() {
      return state;
    },
    set(changes) {
      state = { ...state, ...changes };
      if (!waiting) {
        waiting = true;
        requestAnimationFrame(tell);
      }
    },
    subscribe(listener) {
      listeners.add(listener);
      listener(state);
      return () => listeners.delete(listener);
    },
  };
}
