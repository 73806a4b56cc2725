// @ts-check

/**
 * In this package, unlike in the file that a server hands out, nothing says which server is meant.
 *
 * @type {string | undefined}
 */
export const HOME = undefined;
