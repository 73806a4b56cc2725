// @ts-check

/** Each peer moves everybody's tiles this often. */
const SELDOM_MS = 500;

/**
 * Runs something at once, and then not for a while: all that happens meanwhile counts together. A peer whose pictures have
 * another shape at each moment, or whose screen comes and goes, would keep all tiles moving.
 *
 * @param {() => void} run
 * @returns {() => void}
 */
export function seldom(run) {
  let isResting = false;
  let isWanted = false;
  const call = () => {
    if (isResting) {
      isWanted = true;
      return;
    }
    isResting = true;
    setTimeout(() => {
      isResting = false;
      if (!isWanted) return;
      isWanted = false;
      call();
    }, SELDOM_MS);
    run();
  };
  return call;
}
