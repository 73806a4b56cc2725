// @ts-check

export const MUTE = 'page.mute';

/** Whether somebody asks for silence. @param {any} data may be anything, since it comes from a peer */
export function isMuteRequest(data) {
  return data?.please === true;
}
