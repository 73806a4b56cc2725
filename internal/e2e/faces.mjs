// @ts-check
// Cameras that show a drawn face, upright or lying, so that a test sees whether a page cuts it off, and a screen that shows slides.

/** @typedef {{ width: number, height: number, hue: number }} Camera */

/** @type {Record<string, Camera>} */
export const cameras = {
  laptop: { width: 480, height: 270, hue: 200 },
  phone: { width: 270, height: 480, hue: 20 },
  old: { width: 360, height: 270, hue: 280 },
  desk: { width: 480, height: 270, hue: 110 },
};

/**
 * Gives every page of a context this camera. The microphone is still the browser's own.
 * @param {import('playwright-core').Page} page
 * @param {Camera} camera
 */
export function hold(page, camera) {
  return page.context().addInitScript(install, camera);
}

/**
 * Gives every page of a context a screen to share, without sound.
 * @param {import('playwright-core').Page} page
 */
export function holdSlides(page) {
  return page.context().addInitScript(installSlides);
}

/** Runs in the page. @param {Camera} camera */
function install({ width, height, hue }) {
  const { mediaDevices } = navigator;
  const real = mediaDevices?.getUserMedia.bind(mediaDevices);
  if (!real) return;

  /** @param {CanvasRenderingContext2D} pen @param {number} time */
  const draw = (pen, time) => {
    const wall = pen.createLinearGradient(0, 0, width, height);
    wall.addColorStop(0, `hsl(${hue} 30% 78%)`);
    wall.addColorStop(1, `hsl(${hue} 35% 52%)`);
    pen.fillStyle = wall;
    pen.fillRect(0, 0, width, height);
    pen.fillStyle = `hsl(${hue} 25% 42%)`; // a shelf
    pen.fillRect(width * 0.04, height * 0.1, width * 0.14, height * 0.6);
    // The face is in the box that faceOf in layout.mjs expects.
    const tall = height > width ? width * 0.8 : height * 0.7;
    const [x, y, wide] = [width / 2, height > width ? height * 0.42 : height * 0.5, tall * 0.74];
    pen.fillStyle = `hsl(${(hue + 180) % 360} 40% 38%)`; // shoulders
    pen.beginPath();
    pen.ellipse(x, y + tall * 0.95, wide * 0.95, tall * 0.45, 0, 0, 7);
    pen.fill();
    pen.fillStyle = '#3b2a20'; // hair
    pen.beginPath();
    pen.ellipse(x, y - tall * 0.06, wide / 2, tall * 0.44, 0, 0, 7);
    pen.fill();
    pen.fillStyle = '#e0b190';
    pen.beginPath();
    pen.ellipse(x, y + tall * 0.04, wide * 0.42, tall * 0.42, 0, 0, 7);
    pen.fill();
    const blink = time % 4000 < 200 ? 0.01 : 0.045;
    pen.fillStyle = '#22303a';
    for (const side of [-1, 1]) {
      pen.beginPath();
      pen.ellipse(x + side * wide * 0.17, y - tall * 0.03, wide * 0.05, tall * blink, 0, 0, 7);
      pen.fill();
    }
    pen.strokeStyle = '#8d3b33';
    pen.lineWidth = tall * 0.025;
    pen.beginPath();
    pen.arc(x, y + tall * 0.14, wide * 0.17, 0.3, Math.PI - 0.3);
    pen.stroke();
  };

  mediaDevices.getUserMedia = async (wanted = {}) => {
    const stream = new MediaStream();
    // Asks even for a picture alone, so that a refusal is one.
    const { video, ...rest } = wanted;
    const granted = await real(video && !wanted.audio ? { video } : rest);
    for (const track of granted.getAudioTracks()) stream.addTrack(track);
    for (const track of granted.getVideoTracks()) track.stop();
    if (!video) return stream;
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [width, height];
    const pen = canvas.getContext('2d');
    if (!pen) return stream;
    draw(pen, 0);
    const timer = setInterval(() => {
      draw(pen, performance.now());
      if (track.readyState === 'ended') clearInterval(timer);
    }, 250);
    const [track] = canvas.captureStream(4).getVideoTracks();
    if (track) stream.addTrack(track);
    return stream;
  };
}

/** Runs in the page. */
function installSlides() {
  const { mediaDevices } = navigator;
  if (!mediaDevices) return;

  /** @param {CanvasRenderingContext2D} pen */
  const drawSlide = (pen) => {
    pen.fillStyle = '#fbfaf6';
    pen.fillRect(0, 0, 1280, 720);
    pen.fillStyle = '#1c2422';
    pen.font = '600 64px serif';
    pen.fillText('Third quarter', 96, 150);
    const heights = [0.35, 0.5, 0.42, 0.66, 0.58, 0.8, 0.92];
    for (const [place, share] of heights.entries()) {
      pen.fillStyle = place === heights.length - 1 ? '#eea423' : '#0f5f52';
      pen.fillRect(96 + place * 158, 620 - share * 400, 110, share * 400);
    }
    pen.fillRect(96, 632, 1058, 3);
  };

  mediaDevices.getDisplayMedia = async () => {
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [1280, 720];
    const pen = canvas.getContext('2d');
    if (!pen) return new MediaStream();
    drawSlide(pen);
    const stream = canvas.captureStream(4);
    const timer = setInterval(() => {
      drawSlide(pen);
      if (stream.getTracks().every(({ readyState }) => readyState === 'ended')) clearInterval(timer);
    }, 250);
    return stream;
  };
}
