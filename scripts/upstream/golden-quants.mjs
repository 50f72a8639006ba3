/** The part `quants`: runs make_quants.py (libggml and gguf-py on the same vectors) and compares the bytes with the golden set's. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { folderChanges } from './compare-folders.mjs'
import { jsonChanges, placed } from './compare-json.mjs'
import { NEEDS, reportNotMade } from './golden-set.mjs'
import { python } from './run-python.mjs'

export async function quantsPart({ golden, work, environment, report, log }) {
  if (process.env.LLAMA_BIN === undefined) return report.notRun('quants', 'all', `needs ${NEEDS.LLAMA_BIN}`)
  const { isDone, why } = python([join(work, 'make_quants.py')], { environment, log })
  const [here, there] = [golden, work].map((folder) => join(folder, 'quants'))
  if (!existsSync(join(there, 'quants.json'))) return reportNotMade(report, 'quants', 'all', why)
  const files = await folderChanges(here, there, (path) => path !== 'quants.json')
  const [before, after] = [here, there].map((folder) => JSON.parse(readFileSync(join(folder, 'quants.json'), 'utf8')))
  const groups = [...new Set([...Object.keys(before.outputs), ...Object.keys(after.outputs)])]
  for (const name of groups) report.compared('quants', name, outputChanges(before, after, name))
  if (files.length > 0) report.compared('quants', 'files', files)
  if (!isDone) report.compared('quants', 'after the vectors', [{ where: '', what: `the maker stopped: ${why}` }])
}

/** One type on one input: libggml's bytes, and how gguf-py's compare with them. */
function outputChanges(before, after, name) {
  const parts = ({ outputs, python_vs_c: peers }) => ({ ...outputs[name], 'gguf-py': peers[name] })
  return placed(jsonChanges(parts(before), parts(after)))
}
