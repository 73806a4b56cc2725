// @ts-check
// Plays one scenario: node drive.mjs SCENARIO < plan.json
// Prints a line of JSON a step, and the scenario's report as the last line. Exits with 1 if it failed,
// after telling on stderr why, and what every page showed and logged.

import { readFileSync } from 'node:fs';
import { Stage } from './browser.mjs';
import * as meeting from './meeting.mjs';
import * as house from './house.mjs';

/** @type {Record<string, (stage: Stage, plan: any, step: (what: string) => void) => Promise<object>>} */
const scenarios = { ...meeting, ...house };

const name = process.argv[2] ?? '';
const plan = JSON.parse(readFileSync(0, 'utf8'));
const scenario = scenarios[name];
if (!scenario) throw new Error(`no scenario ${name}; there are: ${Object.keys(scenarios).join(', ')}`);

const started = Date.now();
/** @param {string} what */
const step = (what) => console.log(JSON.stringify({ ms: Date.now() - started, step: what }));

const stage = new Stage();
try {
  const report = await scenario(stage, plan, step);
  console.log(JSON.stringify(report));
} catch (error) {
  process.exitCode = 1;
  console.error(error);
  console.error(await stage.report(plan.artifacts));
} finally {
  await stage.close();
}
