// @ts-check
// Plays scenarios, one after the other, until stdin ends. A line {"scenario": NAME, "plan": PLAN} on stdin begins one.
// Prints a line of JSON for each step, and {"report": …} at the end of a scenario. A step {"cue": NAME} asks the test to do
// something, and waits for a line on stdin when it is done. After a failure it exits with 1, and stderr has the error and
// the text and log of every page.

import { createInterface } from 'node:readline';
import { Stage } from './browser.mjs';
import * as lostsignin from './lostsignin.mjs';
import * as meeting from './meeting.mjs';
import * as apps from './apps.mjs';
import * as chat from './chat.mjs';
import * as chinese from './chinese.mjs';
import * as codes from './codes.mjs';
import * as controlling from './controls.mjs';
import * as crowds from './crowd.mjs';
import * as examples from './examples.mjs';
import * as files from './files.mjs';
import * as firstframe from './firstframe.mjs';
import * as handling from './handling.mjs';
import * as devices from './devices.mjs';
import * as lobbies from './lobby.mjs';
import * as localhost from './localhost.mjs';
import * as looks from './look.mjs';
import * as page from './page.mjs';
import * as inputs from './inputs.mjs';
import * as invites from './invites.mjs';
import * as keysalone from './keysalone.mjs';
import * as peers from './peers.mjs';
import * as programs from './programs.mjs';
import * as refusals from './refusals.mjs';
import * as resume from './resume.mjs';
import * as serving from './serving.mjs';
import * as sdk from './sdk.mjs';
import * as stages from './stage.mjs';

/**
 * @typedef {(what: string) => void} Step
 * @typedef {(name: string) => Promise<unknown>} Cue
 * @type {Record<string, (stage: Stage, plan: any, step: Step, cue: Cue) => Promise<object>>}
 */
const scenarios = { ...chat, ...meeting, ...apps, ...chinese, ...codes, ...controlling, ...crowds, ...devices, ...examples, ...files, ...firstframe, ...handling, ...lobbies, ...localhost, ...looks, ...lostsignin, ...page, ...inputs, ...invites, ...keysalone, ...peers, ...programs, ...refusals, ...resume, ...sdk, ...serving, ...stages };

const lines = createInterface({ input: process.stdin });
const said = lines[Symbol.asyncIterator]();
const stage = new Stage();

/** @param {string} name @param {any} plan */
async function play(name, plan) {
  const started = Date.now();
  /** @param {string} what */
  const step = (what) => console.log(JSON.stringify({ ms: Date.now() - started, step: what }));
  /** @param {string} name */
  const cue = (name) => {
    console.log(JSON.stringify({ ms: Date.now() - started, cue: name }));
    return said.next();
  };
  try {
    const scenario = scenarios[name];
    if (!scenario) throw new Error(`no scenario ${name}; there are: ${Object.keys(scenarios).join(', ')}`);
    const report = await scenario(stage, plan, step, cue);
    await stage.clear();
    console.log(JSON.stringify({ ms: Date.now() - started, report }));
  } catch (error) {
    console.error(error);
    console.error(await stage.report(plan.artifacts));
    throw error;
  }
}

try {
  for (let line = await said.next(); !line.done; line = await said.next()) {
    const { scenario, plan } = JSON.parse(line.value);
    await play(scenario, plan);
  }
} catch {
  process.exitCode = 1; // play has said why
} finally {
  await stage.close();
  lines.close();
}
