// @ts-check

/** The server that this file came from. An app that imports the SDK from its server need not name it. */
export const HOME = import.meta.url;
