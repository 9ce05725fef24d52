// Where in a trace the explorer stands: how many events of it are done. The search and the models
// each have their own place.

export const totalOf = (state) => (state.view === "search" ? state.events.length
  : Math.max(0, ...state.slots.map((slot) => slot.events.length)));

export const momentOf = (state) => Math.min(state.moments[state.view], totalOf(state));

/** Goes to a moment, from 0 to the last; a longer way on stops the play. */
export function goToMoment(store, moment, playing = false) {
  const { state } = store;
  const kept = Math.max(0, Math.min(totalOf(state), moment));
  store.set({ moments: { ...state.moments, [state.view]: kept }, playing });
}

/** Plays from here, from the start where all is done, or pauses. */
export function togglePlay(store) {
  const { state } = store;
  if (state.playing) store.set({ playing: false });
  else goToMoment(store, momentOf(state) === totalOf(state) ? 0 : momentOf(state), totalOf(state) > 0);
}

const KEYS = {
  ArrowLeft: (store) => goToMoment(store, momentOf(store.state) - 1),
  ArrowRight: (store) => goToMoment(store, momentOf(store.state) + 1),
  Home: (store) => goToMoment(store, 0),
  End: (store) => goToMoment(store, Infinity),
  " ": togglePlay,
};

/** The keys that work wherever no control of its own needs them. */
export function stepByKey(store, event) {
  const busy = event.target.closest("input, select, textarea, summary, [role=tab]")
    || (event.key === " " && event.target.closest("button, a"));
  if (busy || !(event.key in KEYS) || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  event.stopPropagation(); // JupyterLab has its own meaning for some of them
  KEYS[event.key](store);
}

/** Takes a step every now and then while the state says so. Returns how to end that. */
export function keepPlaying(store) {
  let timer = null;
  const end = store.subscribe((state) => {
    if (!state.playing) {
      clearTimeout(timer);
      timer = null;
    } else if (timer === null) {
      timer = setTimeout(() => {
        timer = null;
        const next = momentOf(store.state) + 1;
        goToMoment(store, next, next < totalOf(store.state));
      }, store.state.pause);
    }
  });
  return () => {
    clearTimeout(timer);
    end();
  };
}
