/** The part `merge`: runs make_merge.py (PEFT, loralib, LitGPT, plain torch) and compares every case with the golden set's. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { folderChanges } from './compare-folders.mjs'
import { jsonChanges, placed } from './compare-json.mjs'
import { NEEDS, casesIn, reportNotMade } from './golden-set.mjs'
import { runCases } from './run-python.mjs'

/** Functions of the maker that need more than installed packages. PEFT 0.18 is told apart from the installed one by nothing but its place. */
const WANTED_BY = { moe_peft018_layout: 'PEFT018_PKGS', litgpt_case: 'LITGPT_PKGS' }
const ALWAYS_WANTED = new Set(['PEFT018_PKGS'])

/** What the maker measures or says of a case, beside what PEFT does. */
const NOTES = new Set(['bytes', 'files', 'purpose', 'zip_members'])

/**
 * All functions run, whatever is asked for: many make several cases, and together they take less than a minute.
 * @param wanted  the golden cases to compare
 */
export async function mergePart({ golden, work, environment, report, log }, wanted) {
  const maker = join(work, 'make_merge.py')
  const functions = functionsOf(readFileSync(maker, 'utf8'))
  const results = runAll(maker, functions, { environment, log })
  if (results.broken !== undefined) return report.notRun('merge', 'all', results.broken)
  const [here, there] = [golden, work].map((folder) => readManifest(join(folder, 'merge', 'manifest.json')))
  const failed = failures(functions, results, there)
  for (const name of wanted) {
    if (there.cases[name] !== undefined) report.compared('merge', name, await caseChanges({ golden, work, here, there }, name))
    else reportMissing(report, name, whyMissing(name, functions, failed, there))
  }
  if (wanted.length < mergeCases(golden).length) return
  const notMade = wanted.filter((name) => there.cases[name] === undefined)
  for (const [maker, error] of failed) {
    const isSaid = isUnavailable(maker) || notMade.some((name) => names(functions.get(maker), name))
    if (!isSaid) reportNotMade(report, 'merge', maker, error, { hint: WANTED_BY[maker], what: 'stops' })
  }
}

/** The golden cases of this part. */
export function mergeCases(golden) {
  return casesIn(golden, 'merge')
}

/** Everything but what cannot run here; once more without the functions that took the process down, as the manifest is written at the end. */
function runAll(maker, functions, options) {
  const runnable = [...functions.keys()].filter((name) => !isUnavailable(name))
  const parse = (stdout) => new Map([...stdout.matchAll(/^(?:ok|FAIL) +(\w+)$/gm)].map(([, name]) => [name, undefined]))
  const { broken, results, crashed } = runCases([maker], runnable, { ...options, parse })
  if (crashed.length > 0) {
    const others = runnable.filter((name) => !crashed.includes(name))
    if (others.length > 0) runCases([maker], others, { ...options, parse })
  }
  return { broken, crashed: new Map(crashed.map((name) => [name, results.get(name)])) }
}

function isUnavailable(name) {
  const variable = WANTED_BY[name]
  return ALWAYS_WANTED.has(variable) && process.env[variable] === undefined
}

async function caseChanges({ golden, work, here, there }, name) {
  const changes = await folderChanges(join(golden, 'merge', name), join(work, 'merge', name))
  // Numbers are measured, to the last bit; texts say what the tool answered.
  const isSame = (a, b) => typeof a === 'number' && typeof b === 'number'
  const notes = jsonChanges(here.cases[name], there.cases[name], { ignored: NOTES, isSame })
  return [...changes, ...placed(notes, 'manifest.json')]
}

/** Functions of the maker that do not run to their end, with why. */
function failures(functions, { crashed }, { not_made: notMade }) {
  return new Map(
    [...functions.keys()].flatMap((name) => {
      const error = isUnavailable(name) ? NEEDS[WANTED_BY[name]] : (crashed.get(name) ?? notMade[name])
      return error === undefined ? [] : [[name, error]]
    }),
  )
}

/** Why a case was not made: the maker's word about it, or about the function that names it. */
function whyMissing(name, functions, failed, { not_made: notMade }) {
  if (notMade[name] !== undefined) return { error: notMade[name] }
  const maker = [...failed.keys()].find((maker) => names(functions.get(maker), name))
  if (maker === undefined) {
    const stopped = [...failed.keys()].filter((maker) => !isUnavailable(maker))
    return { error: stopped.length === 0 ? 'no function makes it' : `no function makes it that ran to its end; these did not: ${stopped.join(', ')}` }
  }
  return isUnavailable(maker) ? { need: failed.get(maker) } : { error: failed.get(maker), hint: WANTED_BY[maker] }
}

/** Whether a function's source speaks of a case. */
function names(source, name) {
  return source.includes(`"${name}"`) || source.includes(`'${name}'`)
}

function reportMissing(report, name, { need, error, hint }) {
  if (need === undefined) reportNotMade(report, 'merge', name, error, { hint })
  else report.notRun('merge', name, `needs ${need}`)
}

/** Functions that make cases, with their source. */
function functionsOf(text) {
  const parts = text.split(/^@case\s+def (\w+)/m).slice(1)
  return new Map(parts.flatMap((part, i) => (i % 2 === 0 ? [[part, parts[i + 1] ?? '']] : [])))
}

function readManifest(path) {
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : { cases: {}, not_made: {} }
}
