// @ts-check

const GAP = 4;
const MARGIN = 8;

/**
 * Lets a button open and close a popup beside it. The popup has the attribute `popover`, so the browser shows it above
 * everything else, and closes it when people press Escape or touch anything outside.
 *
 * @param {HTMLButtonElement} button
 * @param {HTMLElement} popup
 */
export function attachPopup(button, popup) {
  button.popoverTargetElement = popup;
  button.setAttribute('aria-expanded', 'false');
  /** @type {AbortController | undefined} */
  let open;
  popup.addEventListener('toggle', (event) => {
    const isOpen = /** @type {ToggleEvent} */ (event).newState === 'open';
    button.setAttribute('aria-expanded', String(isOpen));
    open?.abort();
    if (!isOpen) return;
    open = new AbortController();
    placeBeside(button, popup);
    const opened = open;
    const { signal } = opened;
    // One that left the page while it was open had no event.
    const close = () => (popup.isConnected ? popup.hidePopover() : opened.abort());
    // Closes when the button moves away, but not when a video has another size, or the chat scrolls.
    addEventListener('resize', close, { signal });
    document.addEventListener('scroll', ({ target }) => {
      if (target instanceof Node && target.contains(button)) close();
    }, { signal, capture: true });
  });
}

/**
 * Towards the middle of the window, away from the controls at its edge, and inside it.
 *
 * @param {HTMLElement} button
 * @param {HTMLElement} popup
 */
export function placeBeside(button, popup) {
  popup.style.top = popup.style.left = '0'; // Else the edge of the window would make it narrow.
  const at = button.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = popup;
  const top = at.top > innerHeight / 2 ? at.top - GAP - height : at.bottom + GAP;
  const left = at.left > innerWidth / 2 ? at.right - width : at.left;
  popup.style.top = `${Math.max(MARGIN, Math.min(top, innerHeight - MARGIN - height))}px`;
  popup.style.left = `${Math.max(MARGIN, Math.min(left, innerWidth - MARGIN - width))}px`;
}
