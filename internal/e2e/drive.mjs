// @ts-check
// Plays one scenario: node drive.mjs SCENARIO, with its plan as a line of JSON on stdin.
// Prints a line of JSON for each step, and the scenario's report as the last line. A step {"cue": NAME} asks the test to do
// something, and waits for a line on stdin when it is done. After a failure it exits with 1, and stderr has the error and
// the text and log of every page.

import { createInterface } from 'node:readline';
import { Stage } from './browser.mjs';
import * as lostsignin from './lostsignin.mjs';
import * as meeting from './meeting.mjs';
import * as apps from './apps.mjs';
import * as codes from './codes.mjs';
import * as crowds from './crowd.mjs';
import * as examples from './examples.mjs';
import * as files from './files.mjs';
import * as firstframe from './firstframe.mjs';
import * as handling from './handling.mjs';
import * as localhost from './localhost.mjs';
import * as looks from './look.mjs';
import * as page from './page.mjs';
import * as invites from './invites.mjs';
import * as peers from './peers.mjs';
import * as programs from './programs.mjs';
import * as resume from './resume.mjs';
import * as serving from './serving.mjs';
import * as sdk from './sdk.mjs';

/**
 * @typedef {(what: string) => void} Step
 * @typedef {(name: string) => Promise<unknown>} Cue
 * @type {Record<string, (stage: Stage, plan: any, step: Step, cue: Cue) => Promise<object>>}
 */
const scenarios = { ...meeting, ...apps, ...codes, ...crowds, ...examples, ...files, ...firstframe, ...handling, ...localhost, ...looks, ...lostsignin, ...page, ...invites, ...peers, ...programs, ...resume, ...sdk, ...serving };

const name = process.argv[2] ?? '';
const lines = createInterface({ input: process.stdin });
const said = lines[Symbol.asyncIterator]();
const plan = JSON.parse((await said.next()).value);
const scenario = scenarios[name];
if (!scenario) throw new Error(`no scenario ${name}; there are: ${Object.keys(scenarios).join(', ')}`);

const started = Date.now();
/** @param {string} what */
const step = (what) => console.log(JSON.stringify({ ms: Date.now() - started, step: what }));

/** @param {string} name */
const cue = (name) => {
  console.log(JSON.stringify({ ms: Date.now() - started, cue: name }));
  return said.next();
};

const stage = new Stage();
try {
  const report = await scenario(stage, plan, step, cue);
  console.log(JSON.stringify(report));
} catch (error) {
  process.exitCode = 1;
  console.error(error);
  console.error(await stage.report(plan.artifacts));
} finally {
  await stage.close();
  lines.close();
}
