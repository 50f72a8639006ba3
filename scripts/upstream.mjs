/**
 * `npm run upstream -- LLAMA_CPP_DIR [CASE ...]`: what a newer llama.cpp, PEFT or transformers changes. By hand, with Python (docs/upstream.md).
 *
 * Lists new classes, pre-tokenizers and adapter types, then makes the models of fixtures/architectures again, converts them with that
 * llama.cpp, and lists keys, types and bytes that are others than those here. Nothing in the project is changed.
 */
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { PROJECT, fail, say, setup } from './setup.mjs'

const [llamaCpp, ...cases] = process.argv.slice(2)
if (llamaCpp === undefined || !existsSync(join(llamaCpp, 'conversion')))
  fail('usage: npm run upstream -- LLAMA_CPP_DIR [CASE ...]   (a checkout with a folder conversion/)', 2)
await setup()
const PYTHON = process.env.PYTHON ?? 'python3'
const MAKERS = join(PROJECT, 'fixtures', 'make')
const FIXTURES = join(PROJECT, 'fixtures', 'architectures')
const env = { ...process.env, LLAMA_CPP: resolve(llamaCpp) }

const facts = JSON.parse(
  python([join(MAKERS, 'upstream_facts.py')])
    .split('\n')
    .at(-1),
)
const pinned = JSON.parse(readFileSync(join(PROJECT, 'reference.json'), 'utf8'))
for (const [name, version] of Object.entries(facts.versions)) {
  if (pinned[name] !== undefined && pinned[name].version !== version)
    console.log(`version  ${name}: ${pinned[name].version} here, ${version ?? 'not installed'} there`)
}
await listNew()
compareFixtures(remade())

/** Names that the newer tools have and our tables have not. */
async function listNew() {
  const load = (path) => import(join(PROJECT, 'dist', 'src', path))
  const supported = new Set((await load('architectures/registry.js')).supportedArchitectures())
  const known = new Set(fixtures(FIXTURES).map(({ class: name }) => name))
  for (const [name, gguf] of Object.entries(facts.classes))
    if (!supported.has(name)) console.log(`class    ${name} -> ${gguf}: ${known.has(name) ? 'known, not converted' : 'new'}`)
  const { PRE_TOKENIZER_HASHES } = await load('tokenizers/pre-tokenizer-hashes.js')
  for (const [hash, name] of Object.entries(facts.preTokenizers)) if (PRE_TOKENIZER_HASHES.get(hash) !== name) console.log(`pre      ${name}: ${hash}`)
  const { MERGED_TYPES, refusedPeftType } = await load('adapters/peft-types.js')
  for (const type of facts.peftTypes) if (!MERGED_TYPES.has(type) && refusedPeftType(type) === undefined) console.log(`adapter  ${type}: new`)
}

/** Makes the models again and lets the newer converter run. @returns a folder like fixtures/architectures */
function remade() {
  const work = mkdtempSync(join(tmpdir(), 'upstream-'))
  const makers = join(work, 'fixtures', 'make', 'architectures')
  cpSync(join(MAKERS, 'architectures'), makers, { recursive: true })
  mkdirSync(join(work, 'fixtures', 'architectures'), { recursive: true }) // pack.py writes beside its makers
  const own = { ...env, ORACLE_OUT: join(work, 'models') }
  mkdirSync(own.ORACLE_OUT)
  python([join(makers, 'make.py'), ...cases], own)
  python([join(makers, 'pack.py')], own)
  return join(work, 'fixtures', 'architectures')
}

function compareFixtures(folder) {
  const before = new Map(fixtures(FIXTURES).map((fixture) => [fixture.case, fixture]))
  let same = 0
  for (const now of fixtures(folder)) {
    const then = before.get(now.case)
    const changes = then === undefined ? ['new case'] : differences(then, now)
    if (changes.length === 0) same++
    for (const change of changes) console.log(`model    ${now.case}: ${change}`)
  }
  say(`upstream: ${same} models convert to the same keys, types and bytes as here`)
}

function differences(then, now) {
  const changes = []
  if (then.fails !== now.fails) changes.push(`the converter says ${JSON.stringify(now.fails ?? 'nothing')}, it said ${JSON.stringify(then.fails ?? 'nothing')}`)
  for (const part of ['tensors', 'expected']) {
    if (JSON.stringify(then[part]) !== JSON.stringify(now[part])) changes.push(`${part} differ: diff ${join(FIXTURES, `${now.case}.json`)} with what was made`)
  }
  return changes
}

function fixtures(folder) {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.json'))
    .map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')))
}

function python(args, environment = env) {
  const { status, stdout, error } = spawnSync(PYTHON, args, { env: environment, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 1 << 28 })
  if (error || status !== 0) fail(`${PYTHON} ${args[0]}: ${error?.message ?? `exit ${status}`}`)
  return stdout.trim()
}
