/** The time, for what is shown relative to it. It stands still while the page is hidden. */

const TICK_MS = 1000;

class Ticking {
  now = $state(Date.now());

  start(): () => void {
    const tick = () => {
      if (!document.hidden) this.now = Date.now();
    };
    const timer = setInterval(tick, TICK_MS);
    document.addEventListener("visibilitychange", tick);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", tick);
    };
  }
}

export const ticking = new Ticking();
