// @ts-check

/** What is hidden of the window is a keyboard if it is at least so high, in pixels. */
const LEAST = 120;

/**
 * Tells the styles how much of the page a keyboard leaves, where the browser does not make the page lower itself, as on iOS:
 * `data-keyboard` and `--seen-height` of the document's element.
 *
 * @param {AbortSignal} signal
 */
export function followKeyboard(signal) {
  const viewport = globalThis.visualViewport;
  if (!viewport) return;
  const root = document.documentElement;
  const follow = () => {
    const isZoomed = viewport.scale > 1.01;
    const isOpen = !signal.aborted && !isZoomed && innerHeight - viewport.height >= LEAST;
    root.toggleAttribute('data-keyboard', isOpen);
    if (!isOpen) return void root.style.removeProperty('--seen-height');
    root.style.setProperty('--seen-height', `${viewport.height}px`);
    scrollTo(0, 0); // The browser has moved the page up to show the field, which has its place above the keyboard now.
  };
  viewport.addEventListener('resize', follow, { signal });
  signal.addEventListener('abort', follow);
}
