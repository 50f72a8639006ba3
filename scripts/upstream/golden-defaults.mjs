/** The part `defaults`: what transformers fills in where config.json is silent, against the golden set's config-defaults-*.json. */
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { PROJECT } from '../setup.mjs'
import { jsonChanges, parsePythonJson, placed } from './compare-json.mjs'
import { python } from './run-python.mjs'

const PRINTER = join(PROJECT, 'fixtures', 'make', 'upstream_defaults.py')

/** What the golden set leaves out: nothing of it reaches a GGUF. */
const LEFT_OUT = new Set([
  ...['_name_or_path', 'add_cross_attention', 'architectures', 'attention_dropout', 'chunk_size_feed_forward', 'dtype', 'id2label', 'initializer_range'],
  ...['is_encoder_decoder', 'label2id', 'output_attentions', 'output_hidden_states', 'problem_type', 'return_dict', 'transformers_version', 'use_cache'],
])

/** The golden set's defaults by model type, of the pinned transformers. */
export function goldenDefaults(golden) {
  const pinned = JSON.parse(readFileSync(join(PROJECT, 'reference.json'), 'utf8')).transformers.version
  const names = readdirSync(golden).filter((name) => /^config-defaults-.*\.json$/.test(name) && existsSync(join(golden, name)))
  const tables = names.map((name) => parsePythonJson(readFileSync(join(golden, name), 'utf8')))
  return tables.find(({ transformers }) => transformers === pinned)?.defaults ?? {}
}

/** @param wanted  model types */
export function defaultsPart({ golden, environment, report, log }, wanted) {
  if (wanted.length === 0) return
  const { stdout, isDone, why } = python([PRINTER, ...wanted], { environment, log })
  if (!isDone) return report.notRun('defaults', 'all', why)
  const [here, there] = [goldenDefaults(golden), parsePythonJson(stdout.trim().split('\n').at(-1))]
  for (const name of wanted) {
    const { defaults, error } = there[name]
    const changes = error === undefined ? jsonChanges(here[name], defaults, { ignored: LEFT_OUT }) : [{ path: [name], what: error }]
    report.compared('defaults', name, placed(changes))
  }
}
