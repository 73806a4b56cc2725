// @ts-check

/**
 * What one side sends to each of the others. Everybody sends to everybody, so the more people there are, the less each
 * connection gets.
 *
 * @typedef {object} Limit
 * @property {number} maxBitrate bits a second
 * @property {number} maxFramerate
 * @property {number} [lines] of the shorter side of the picture; a bigger one is made smaller
 */

/** With more people than this, everybody sees only the one who speaks. */
export const ALL_SEEN = 8;

/** @type {{ people: number, camera: Limit }[]} each up to so many people in the room */
const BY_PEOPLE = [
  { people: 2, camera: { maxBitrate: 1_500_000, maxFramerate: 30, lines: 720 } },
  { people: 4, camera: { maxBitrate: 700_000, maxFramerate: 24, lines: 540 } },
  { people: ALL_SEEN, camera: { maxBitrate: 300_000, maxFramerate: 20, lines: 360 } },
];
/** @type {Limit} beyond that */
const MANY = { maxBitrate: 150_000, maxFramerate: 15, lines: 180 };
/** @type {Limit} text must stay sharp, so its size stays */
const SCREEN = { maxBitrate: 1_000_000, maxFramerate: 15 };

/**
 * @param {'camera' | 'screen'} source
 * @param {number} people in the room, with ourselves
 */
export function limitOf(source, people) {
  return source === 'screen' ? SCREEN : BY_PEOPLE.find((row) => people <= row.people)?.camera ?? MANY;
}

/**
 * Keeps a sender within a limit.
 *
 * @param {RTCRtpSender} sender
 * @param {Limit} limit
 * @param {boolean} active false: it sends nothing
 */
export async function keepWithin(sender, { maxBitrate, maxFramerate, lines }, active) {
  const parameters = sender.getParameters?.();
  if (!parameters?.encodings?.length) return; // There are none before the negotiation is over in some browsers.
  const { width = 0, height = 0 } = sender.track?.getSettings?.() ?? {};
  const scaleResolutionDownBy = lines ? Math.max(1, Math.min(width, height) / lines) : 1;
  const wanted = { active, maxBitrate, maxFramerate, scaleResolutionDownBy };
  const isSame = parameters.encodings.every((encoding) => {
    return Object.entries(wanted).every(([name, value]) => /** @type {any} */ (encoding)[name] === value);
  });
  if (isSame) return;
  for (const encoding of parameters.encodings) Object.assign(encoding, wanted);
  await sender.setParameters(parameters);
}
