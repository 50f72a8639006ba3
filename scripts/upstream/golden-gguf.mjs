/** The part `gguf`: runs make_gguf.py and make_gguf_extra.py (llama.cpp's converter and tools) and compares with the golden set. */
import { existsSync, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { PROJECT } from '../setup.mjs'
import { folderChanges } from './compare-folders.mjs'
import { ggufChanges } from './compare-gguf.mjs'
import { NEEDS, casesIn, missing, reportNotMade } from './golden-set.mjs'
import { runCases } from './run-python.mjs'

const DRIVER = join(PROJECT, 'fixtures', 'make', 'upstream_gguf.py')

/** Cases that need llama.cpp's binaries, and the one whose model transformers 5 cannot describe. */
const WANTED_BY = { 'lora-llama': 'LLAMA_BIN', 'imatrix-llama': 'LLAMA_BIN', 'quantize-options': 'LLAMA_BIN', mixtures: 'LLAMA_BIN', gptneox: 'TRANSFORMERS_4' }

/** Trained by the maker on the texts of the llama.cpp checkout, so others with each; and what a conversion leaves beside a model. */
const OF_NO_ACCOUNT = /^(?:tokenizer\.(?:json|model))$/

/** The golden cases of this part. */
export function ggufCases(golden) {
  const mixtures = existsSync(join(golden, 'mixtures.json')) ? ['mixtures'] : []
  return [...casesIn(golden, 'gguf'), ...casesIn(golden, 'gguf-large'), ...mixtures]
}

/** @param wanted  the golden cases to make and compare */
export async function ggufPart({ golden, work, environment, report, log }, wanted) {
  const unavailable = wanted.filter((name) => WANTED_BY[name] !== undefined && process.env[WANTED_BY[name]] === undefined)
  for (const name of unavailable) report.notRun('gguf', name, `needs ${NEEDS[WANTED_BY[name]]}`)
  const runnable = wanted.filter((name) => !unavailable.includes(name))
  const old = runnable.filter((name) => WANTED_BY[name] === 'TRANSFORMERS_4')
  const paths = [process.env.TRANSFORMERS_4, process.env.PYTHONPATH].filter(Boolean).join(delimiter)
  const command = [DRIVER, work, golden]
  const runs = [
    [runnable.filter((name) => !old.includes(name)), environment],
    [old, { ...environment, PYTHONPATH: paths }],
  ]
  for (const [cases, environment] of runs) {
    if (cases.length === 0) continue
    const { broken, results } = runCases(command, cases, { environment, log, parse: outcomes })
    if (broken !== undefined) report.notRun('gguf', 'all', broken)
    for (const [name, error] of results) await compareCase({ golden, work, report }, name, error)
  }
  if (process.env.LLAMA_BIN === undefined && runnable.length > 0) report.notRun('gguf', 'quantizations', `needs ${NEEDS.LLAMA_BIN}`)
}

function outcomes(stdout) {
  return new Map([...stdout.matchAll(/^(ok|FAIL) (\S+) ?(.*)$/gm)].map(([, word, name, why]) => [name, word === 'ok' ? undefined : why]))
}

async function compareCase({ golden, work, report }, name, error) {
  if (error !== undefined) return reportNotMade(report, 'gguf', name, error)
  const [here, there] = [golden, work].map((folder) => readExpected(folder, name))
  const changes = ggufChanges(here, there, { quantized: process.env.LLAMA_BIN !== undefined })
  report.compared('gguf', name, [...(await inputChanges({ golden, work, report }, name, here)), ...changes])
}

/** What transformers and PEFT write otherwise: models, and the adapters of lora-llama. */
async function inputChanges({ golden, work, report }, name, { inputDir }) {
  const [made, reason] = [join(work, 'inputs', name, inputDir ?? ''), join(work, 'inputs', name, 'FAILED')]
  if (inputDir === undefined)
    return name === 'mixtures' ? [] : folderChanges(join(golden, 'gguf', name), join(work, 'gguf', name), (path) => path !== 'expected.json')
  if (existsSync(made)) return folderChanges(join(folderOf(golden, name), inputDir), made, (path) => !OF_NO_ACCOUNT.test(path))
  const why = existsSync(reason) ? readFileSync(reason, 'utf8') : 'no reason given'
  const absent = missing(why)
  if (absent === undefined) return [{ where: 'model', what: `not made there: ${why}` }]
  report.notRun('gguf', `${name}'s model`, `${absent} (the conversion was run)`)
  return []
}

function readExpected(root, name) {
  const path = name === 'mixtures' ? join(root, 'mixtures.json') : join(folderOf(root, name), 'expected.json')
  return JSON.parse(readFileSync(path, 'utf8'))
}

function folderOf(root, name) {
  const large = join(root, 'gguf-large', name)
  return existsSync(large) ? large : join(root, 'gguf', name)
}
