/**
 * `npm run upstream -- LLAMA_CPP_DIR [WHAT ...]`: what a newer llama.cpp, PEFT or transformers changes. By hand, with Python (docs/upstream.md).
 *
 * Lists new classes, pre-tokenizers and adapter types, then makes again, in a temporary folder, the models of fixtures/architectures and the
 * golden set, and lists keys, types and bytes that are others than those here. Nothing in the project or in the golden set is changed.
 */
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { PROJECT, fail, say, setup } from './setup.mjs'

const USAGE = `usage: npm run upstream -- LLAMA_CPP_DIR [WHAT ...]   (a checkout with a folder conversion/)
  WHAT: defaults, merge, gguf, quants or models; or a case: merge/llama_dora, gguf/qwen2, 'models/Qwen*', LlamaForCausalLM; nothing for all`

const [folder, ...words] = process.argv.slice(2)
if (folder === undefined || !existsSync(join(folder, 'conversion'))) fail(USAGE, 2)
await setup()
const { choose } = await import('./upstream/choose.mjs')
const { defaultsPart, goldenDefaults } = await import('./upstream/golden-defaults.mjs')
const { copyMakers, findGolden } = await import('./upstream/golden-set.mjs')
const { ggufCases, ggufPart } = await import('./upstream/golden-gguf.mjs')
const { listNew } = await import('./upstream/facts.mjs')
const { mergeCases, mergePart } = await import('./upstream/golden-merge.mjs')
const { modelsPart, readModels } = await import('./upstream/models.mjs')
const { quantsPart } = await import('./upstream/golden-quants.mjs')
const { createReport } = await import('./upstream/report.mjs')
const { python } = await import('./upstream/run-python.mjs')

const llamaCpp = resolve(folder)
const { golden, place } = findGolden()
const inGolden = golden === undefined ? {} : { defaults: Object.keys(goldenDefaults(golden)), merge: mergeCases(golden), gguf: ggufCases(golden), quants: [] }
const { chosen, unknown } = choose(words, { models: [...readModels().keys()], ...inGolden })
if (unknown.length > 0) fail(`${unknown.join(', ')}: no such part or case${golden === undefined ? `, and no golden set in ${place}` : ''}\n${USAGE}`, 2)

const work = mkdtempSync(join(tmpdir(), 'upstream-'))
const report = createReport(join(work, 'changes.txt'))
const log = join(work, 'makers.log')
const environment = environmentOf(work)
const facts = readFacts()
if (words.length === 0) listNew(facts, report)
if (golden === undefined && words.length === 0) say(`upstream: no golden set in ${place}: defaults, merge, gguf and quants are not compared`)
await runParts()
finish()

async function runParts() {
  const context = { golden, work: join(work, 'golden'), environment, report, log }
  if (golden !== undefined) copyMakers(golden, context.work, { llamaCpp, python: facts.python })
  const parts = {
    defaults: defaultsPart,
    merge: mergePart,
    gguf: ggufPart,
    quants: quantsPart,
    models: (context, wanted) => modelsPart({ ...context, work }, wanted),
  }
  for (const [part, run] of Object.entries(parts)) {
    if (!chosen.has(part)) continue
    say(`upstream: ${part} ...`)
    await run(context, chosen.get(part))
    report.print()
  }
}

/** What every maker runs with: one thread and one seed of hashes, as the golden set was made; temporary files where they are removed. */
function environmentOf(work) {
  const temporary = join(work, 'tmp')
  mkdirSync(temporary)
  const fixed = { PYTHONHASHSEED: '0', OMP_NUM_THREADS: '1', HF_HUB_OFFLINE: '1', PYTHONDONTWRITEBYTECODE: '1' }
  return { ...process.env, ...fixed, LLAMA_CPP: llamaCpp, TMPDIR: temporary, TEMP: temporary, TMP: temporary }
}

function readFacts() {
  const { stdout, isDone, why } = python([join(PROJECT, 'fixtures', 'make', 'upstream_facts.py')], { environment, log })
  if (!isDone) {
    rmSync(work, { recursive: true, force: true })
    fail(`${process.env.PYTHON ?? 'python3'} with torch, transformers, peft, safetensors and sentencepiece is needed: ${why}`)
  }
  return JSON.parse(stdout.trim().split('\n').at(-1))
}

function finish() {
  rmSync(join(work, 'tmp'), { recursive: true, force: true })
  if (report.isEmpty()) rmSync(work, { recursive: true, force: true })
  else say(`upstream: what was made, all changes (changes.txt) and what the makers said (makers.log): ${work}`)
}
