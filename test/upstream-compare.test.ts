/** What `npm run upstream` says of changes (scripts/upstream): its lines are right, and there is none where nothing changed. No Python. */
import assert from 'node:assert/strict'
import { cpSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { pathToFileURL } from 'node:url'
import { PROJECT } from './support/paths.js'
import { f32Tensor, writeSafetensors, type PlainTensor } from './support/plain-tensors.js'
import { workspace } from './support/workspace.js'

interface Change {
  readonly where: string
  readonly what: string
}
type Compare<Options> = (here: unknown, there: unknown, options?: Options) => Change[]
interface Runs {
  readonly results: ReadonlyMap<string, string | undefined>
  readonly crashed: readonly string[]
  readonly broken?: string
}

process.env['PYTHON'] = process.execPath // the makers below are JavaScript
const load = (name: string): Promise<unknown> => import(pathToFileURL(join(PROJECT, 'scripts', 'upstream', `${name}.mjs`)).href)
const { folderChanges } = (await load('compare-folders')) as { folderChanges: (here: string, there: string) => Promise<Change[]> }
const { ggufChanges } = (await load('compare-gguf')) as { ggufChanges: Compare<{ quantized: boolean }> }
const { modelChanges } = (await load('compare-models')) as { modelChanges: Compare<never> }
const { changeLines, partLines } = (await load('report')) as {
  changeLines: (changes: readonly Change[]) => string[]
  partLines: (cases: ReadonlyMap<string, readonly Change[]>, file: string) => string[]
}
const { choose } = (await load('choose')) as {
  choose: (words: readonly string[], cases: Record<string, readonly string[]>) => { chosen: Map<string, string[]>; unknown: string[] }
}
const { missing } = (await load('golden-set')) as { missing: (error: string) => string | undefined }
const { runCases } = (await load('run-python')) as {
  runCases: (command: readonly string[], cases: readonly string[], options: { parse: (stdout: string) => Map<string, string | undefined> }) => Runs
}

const TENSORS: Readonly<Record<string, PlainTensor>> = {
  a: f32Tensor([2, 2], [1, 2, 3, 4]),
  b: { dtype: 'BF16', shape: [2], bytes: Uint8Array.of(0x80, 0x3f, 0, 0x40) },
  c: { dtype: 'I64', shape: [1], bytes: new Uint8Array(8) },
}
const CONFIG = { hidden_size: 48, transformers_version: '5.23.0', rope_parameters: { rope_theta: 10000 }, target_modules: ['q_proj', 'v_proj'] }

describe('the comparison of two folders', () => {
  it('says nothing of equal ones, of versions, and of the order of sets and of tensors', async (t) => {
    const { here, there } = twice(t)
    const { target_modules: modules, ...config } = CONFIG
    writeJson(there, 'config.json', { target_modules: [...modules].reverse(), ...config, transformers_version: '6.0.0' })
    writeSafetensors(join(there, 'expected', 'model.safetensors'), Object.fromEntries(Object.entries(TENSORS).reverse()))
    assert.deepEqual(await lines(here, there), [])
  })

  it('counts the values that differ, and by how many representable ones', async (t) => {
    const next = Float32Array.of(1, 2, 3, 4)
    new Uint32Array(next.buffer)[2] = (new Uint32Array(next.buffer)[2] ?? 0) + 1
    const { here, there } = twice(t, { ...TENSORS, a: f32Tensor([2, 2], next), b: { dtype: 'BF16', shape: [2], bytes: Uint8Array.of(0x82, 0x3f, 0, 0xc0) } })
    assert.deepEqual(await lines(here, there), [
      'expected/model.safetensors tensor a: 1 of 4 values differ, at most 1 step (2.4e-7)',
      'expected/model.safetensors tensor b: 2 of 2 values differ, by 4.0 at most',
    ])
  })

  it('tells a zero of another sign, a value that is no number, and other integers', async (t) => {
    const { here, there } = twice(t, {
      z: f32Tensor([1], [-0]),
      n: f32Tensor([1], [Number.NaN]),
      i: { dtype: 'I64', shape: [1], bytes: new Uint8Array(8).fill(1) },
    })
    const zeros = { z: f32Tensor([1], [0]), n: f32Tensor([1], [0]), i: { dtype: 'I64', shape: [1], bytes: new Uint8Array(8) } }
    writeSafetensors(join(here, 'expected', 'model.safetensors'), zeros)
    assert.deepEqual(await lines(here, there), [
      'expected/model.safetensors tensor i: 1 of 1 values differ',
      'expected/model.safetensors tensor n: 1 of 1 values differ, by Infinity at most',
      'expected/model.safetensors tensor z: 1 of 1 values differ, in the sign of zero',
    ])
  })

  it('names other types and shapes, tensors that are gone and that are new', async (t) => {
    const { here, there } = twice(t, { a: f32Tensor([4], [1, 2, 3, 4]), b: { dtype: 'F16', shape: [2], bytes: new Uint8Array(4) }, d: f32Tensor([1], [1]) })
    assert.deepEqual(await lines(here, there), [
      'expected/model.safetensors tensor a: [2, 2] here, [4] there',
      'expected/model.safetensors tensor b: BF16 here, F16 there',
      'expected/model.safetensors tensor c: gone there',
      'expected/model.safetensors tensor d: new there: F32 [1]',
    ])
  })

  it('names keys of JSON with what they were and are', async (t) => {
    const { here, there } = twice(t)
    writeJson(there, 'config.json', { rope_parameters: { rope_theta: 500000, rope_type: 'default' }, target_modules: ['q_proj'] })
    assert.deepEqual(await lines(here, there), [
      'config.json key hidden_size: 48 here, gone there',
      'config.json key rope_parameters.rope_theta: 10000 here, 500000 there',
      'config.json key rope_parameters.rope_type: new there: "default"',
      'config.json key target_modules: ["q_proj","v_proj"] here, ["q_proj"] there',
    ])
  })

  it('reads JSON as Python writes it', async (t) => {
    const { here, there } = twice(t)
    writeFileSync(join(here, 'config.json'), '{"a": [0.0, Infinity], "b": NaN, "c": "a, NaN, b"}')
    writeFileSync(join(there, 'config.json'), '{"a": [0.0, -Infinity], "b": NaN,  "c": "a, NaN, b"}')
    assert.deepEqual(await lines(here, there), ['config.json key a: [0,"Infinity"] here, [0,"-Infinity"] there'])
  })

  it('compares weights that moved to other files', async (t) => {
    const { here, there } = twice(t, { ...TENSORS, a: f32Tensor([2, 2], [1, 2, 3, 5]) })
    renameSync(join(there, 'expected', 'model.safetensors'), join(there, 'expected', 'model-00001-of-00001.safetensors'))
    assert.deepEqual(await lines(here, there), [
      'expected/model.safetensors is no longer made',
      'expected/model-00001-of-00001.safetensors is new',
      'expected tensor a: 1 of 4 values differ, by 1.0 at most',
    ])
  })

  it('tells a folder that was not made, and a file that is none of ours', async (t) => {
    const { here, there } = twice(t)
    writeFileSync(join(here, 'garbage.bin'), 'no checkpoint')
    writeFileSync(join(there, 'garbage.bin'), 'no checkpoint!')
    rmSync(join(there, 'expected'), { recursive: true })
    assert.deepEqual(await lines(here, there), ['garbage.bin other bytes', 'expected/model.safetensors is no longer made'])
  })
})

describe('the comparison of two expected.json', () => {
  const sha = (digit: string): string => digit.repeat(64)
  const file = (type: string, bytes: string): object => ({
    fileSha256: sha(bytes),
    fileSize: 9,
    tensors: [['blk.0.attn_q.weight', type, [4, 2], 0, 32, sha(bytes)]],
  })
  const expected = {
    kv: [
      { key: 'llama.block_count', type: 'u32', value: 2 },
      { key: 'tokenizer.ggml.tokens', type: 'arr', itemType: 'str', length: 99, payloadSha256: sha('1'), first8: ['a'], last4: ['b'] },
    ],
    convert: { f32: file('F32', '2'), f16: file('F16', '3'), q8_0: file('Q8_0', '4') },
    quantize: { q4_0: file('Q4_0', '5') },
    errors: { bf16: 'at /tmp/a' },
  }
  const told = (there: object, options?: { quantized: boolean }): string[] => changeLines(ggufChanges(expected, { ...expected, ...there }, options))

  it('says nothing of equal ones, of paths in errors, and of what was not quantized', () => {
    assert.deepEqual(told({ errors: { bf16: 'at /tmp/b' }, notes: 'other' }), [])
    assert.deepEqual(told({ quantize: {} }, { quantized: false }), [])
  })

  it('names keys by what they were and are, and long lists by their bytes', () => {
    const kv = [
      { key: 'llama.block_count', type: 'u64', value: 3 },
      { ...expected.kv[1], payloadSha256: sha('9'), first8: ['c'] },
      { key: 'new.key', type: 'str', value: 'x' },
    ]
    assert.deepEqual(told({ kv }), [
      'key llama.block_count type: "u32" here, "u64" there',
      'key llama.block_count: 2 here, 3 there',
      'key tokenizer.ggml.tokens payloadSha256: other bytes',
      'key new.key: new there: {"type":"str","value":"x"}',
    ])
  })

  it('says the same change of several files once, with the files', () => {
    const convert = { f32: file('F32', '6'), f16: file('F16', '7'), q8_0: file('F16', '8') }
    assert.deepEqual(told({ convert }), [
      'convert.f32, convert.f16 tensor blk.0.attn_q.weight: other bytes',
      'convert.q8_0 tensor blk.0.attn_q.weight type: "Q8_0" here, "F16" there',
    ])
  })

  it('tells outtypes and errors that are new or gone, by their last line', () => {
    assert.deepEqual(told({ errors: { q8_0: 'a\nKeyError' }, quantize: {} }), [
      'quantize.q4_0 gone there',
      'convert.bf16 error: "at /tmp/a" here, gone there',
      'convert.q8_0 error: new there: "KeyError"',
    ])
  })

  it('says of a model that is refused only why', () => {
    const errors = { f32: 'KeyError', f16: 'KeyError', bf16: 'at /tmp/b', q8_0: 'KeyError' }
    const quantize = expected.quantize
    assert.deepEqual(told({ convert: {}, quantize, errors, kv: undefined }), ['convert.f32, convert.f16 and 1 more error: new there: "KeyError"'])
    assert.deepEqual(told({ errors: { ...errors, 'quantize:q4_0': 'x' }, convert: {}, quantize: {}, kv: undefined }, { quantized: false }).length, 1)
  })

  it('tells files that differ in nothing but their order', () => {
    const convert = { ...expected.convert, f16: { ...file('F16', '3'), fileSha256: sha('0') } }
    assert.deepEqual(told({ convert }), ['convert.f16 other bytes, of the same keys and tensors: another order, or padding'])
  })
})

describe('the comparison of two models of fixtures/architectures', () => {
  const model = {
    case: 'X',
    source: 'transformers 5',
    config: { hidden_size: 64 },
    tensors: [['lm_head.weight', [8, 4]]],
    keys: [['x.block_count', 'u32', 2]],
    written: [
      ['output.weight', [4, 8], 'aaaaaaaaaaaa'],
      { layers: ['blk.0.', 'blk.1.'], rows: [['attn_q.weight', [4, 4]]], digests: ['bbbbbbbbbbbb', 'cccccccccccc'] },
    ],
    outtypes: { f16: ['h3', 'dddddddddddd'] },
  }

  it('says nothing of equal ones, and unfolds layers', () => {
    const [output] = model.written
    const flat = [output, ['blk.0.attn_q.weight', [4, 4], 'bbbbbbbbbbbb'], ['blk.1.attn_q.weight', [4, 4], 'cccccccccccc']]
    assert.deepEqual(modelChanges(model, { ...model, source: 'transformers 6', written: flat }), [])
  })

  it('names changed keys, tensors and types, and files whose bytes changed without them', () => {
    const [output] = model.written
    const there = {
      ...model,
      config: { hidden_size: 65 },
      tensors: [['lm_head.weight', [8, 5]]],
      keys: [['x.block_count', 'u32', 3]],
      written: [output, { layers: ['blk.0.', 'blk.1.'], rows: [['attn_q.weight', [4, 4]]], digests: ['bbbbbbbbbbbb', 'eeeeeeeeeeee'] }],
      outtypes: { f16: ['hhf', 'ffffffffffff'] },
    }
    assert.deepEqual(changeLines(modelChanges(model, there)), [
      'config hidden_size: 64 here, 65 there',
      'key x.block_count: 2 here, 3 there',
      'tensor of the checkpoint lm_head.weight: [[8,4]] here, [[8,5]] there',
      'tensor blk.1.attn_q.weight: other bytes',
      'f16 tensor blk.1.attn_q.weight type: "F16" here, "F32" there',
    ])
    assert.deepEqual(changeLines(modelChanges(model, { ...model, outtypes: { f16: ['hhh', 'ffffffffffff'] } })), ['f16 file: other bytes'])
    const refused = changeLines(modelChanges(model, { case: 'X', config: model.config, fails: 'KeyError' }))
    assert.deepEqual(refused.at(-1), 'fails: new there: "KeyError"')
  })
})

describe('the report', () => {
  it('prints what many cases have in common once, and few lines of each', () => {
    const many = Array.from({ length: 14 }, (_, i) => ({ where: '', what: `line ${i}` }))
    const cases = new Map<string, Change[]>(
      ['a', 'b', 'c', 'd'].map((name) => [name, [{ where: `${name === 'd' ? 'adapter' : 'base'}/config.json`, what: 'key x: gone there' }]]),
    )
    cases.set('e', many)
    assert.deepEqual(partLines(cases, 'changes.txt'), [
      'a, b and 2 more: base/config.json, adapter/config.json key x: gone there',
      ...many.slice(0, 12).map(({ what }) => `e: ${what}`),
      'e: and 2 more in changes.txt',
    ])
  })

  it('keeps what changed in few cases with the case, and says a change of several files once', () => {
    const cases = new Map([['a', ['x', 'y', 'z'].map((where) => ({ where, what: 'tensor t: gone there' }))]])
    assert.deepEqual(partLines(cases, 'changes.txt'), ['a: x, y and 1 more tensor t: gone there'])
  })
})

describe('the command line', () => {
  const cases = { models: ['LlamaForCausalLM', 'Qwen3ForCausalLM'], merge: ['gpt2_conv1d', 'bloom'], gguf: ['gpt2', 'bloom'], quants: [] }
  const chosen = (...words: string[]): unknown => Object.fromEntries(choose(words, cases).chosen)

  it('takes parts, cases of a part, beginnings, and names alone', () => {
    assert.deepEqual(chosen(), cases)
    assert.deepEqual(chosen('quants', 'merge'), { quants: [], merge: cases.merge })
    assert.deepEqual(chosen('gguf/gpt2', 'gguf/bloom', 'models/Qwen*'), { gguf: ['gpt2', 'bloom'], models: ['Qwen3ForCausalLM'] })
    assert.deepEqual(chosen('bloom'), { merge: ['bloom'], gguf: ['bloom'] })
  })

  it('gives words that match nothing back', () => {
    assert.deepEqual(choose(['gguf/none', 'hostile', 'bloom'], cases).unknown, ['gguf/none', 'hostile'])
  })
})

describe('a run of makers', () => {
  const parse = (stdout: string): Map<string, string | undefined> =>
    new Map([...stdout.matchAll(/^(ok|FAIL) (\S+) ?(.*)$/gm)].map(([, word, name = '', why]) => [name, word === 'ok' ? undefined : why]))
  const maker = (t: TestContext, body: string): string => {
    const path = join(workspace(t, 'maker'), 'maker.cjs')
    writeFileSync(path, body)
    return path
  }

  it('goes on behind a case that takes the process down, in whatever order they run', (t) => {
    const path = maker(
      t,
      `for (const name of process.argv.slice(2).sort()) {
        if (name === 'c') { console.error('last words'); process.exit(134) }
        console.log(name === 'e' ? 'FAIL e KeyError: x' : 'ok ' + name)
      }`,
    )
    const { results, crashed, broken } = runCases([path], ['e', 'd', 'c', 'b', 'a'], { parse })
    const sorted = Object.fromEntries([...results].sort(([a], [b]) => (a < b ? -1 : 1)))
    assert.deepEqual(sorted, { a: undefined, b: undefined, c: 'exit 134: last words', d: undefined, e: 'KeyError: x' })
    assert.deepEqual(crashed, ['c'])
    assert.equal(broken, undefined)
  })

  it('that cannot start at all is said once', (t) => {
    const path = maker(t, `console.error('ModuleNotFoundError: No module named torch'); process.exit(1)`)
    assert.equal(runCases([path], ['a', 'b'], { parse }).broken, 'exit 1: ModuleNotFoundError: No module named torch')
  })

  it('tells what is not there from what fails', () => {
    assert.match(missing("FileNotFoundError: '/tmp/upstream-x/golden/not-there/LLAMA_BIN/llama-quantize'") ?? '', /^needs llama\.cpp built .*LLAMA_BIN=/)
    assert.match(missing("ModuleNotFoundError: No module named 'litgpt'") ?? '', /litgpt/)
    assert.equal(missing("KeyError: 'rotary_pct'"), undefined)
  })
})

describe('the list of new names', () => {
  it('has what the tables lack, and what the converter no longer has', async () => {
    const { listNew } = (await load('facts')) as { listNew: (facts: unknown, report: { line: (kind: string, text: string) => void }) => void }
    const said: string[] = []
    const facts = {
      versions: { peft: '99.0.0' },
      classes: { LlamaForCausalLM: 'llama', NeverSeenForCausalLM: 'never', PlamoForCausalLM: 'plamo' },
      preTokenizers: { ['0'.repeat(64)]: 'never' },
      peftTypes: ['LORA', 'NEVER'],
    }
    listNew(facts, { line: (kind, text) => said.push(`${kind} ${text}`) })
    assert.match(said[0] ?? '', /^version peft: .* here, 99\.0\.0 there$/)
    assert.ok(said.includes('class MistralForCausalLM: gone there') && !said.includes('class LlamaForCausalLM: gone there'))
    const added = ['class NeverSeenForCausalLM -> never: new', `pre never: ${'0'.repeat(64)}`, 'adapter NEVER: new']
    assert.deepEqual(
      said.slice(1).filter((line) => !line.endsWith('gone there')),
      added,
    )
  })
})

/** Two folders with the same files; the second one's weights are others when given. */
function twice(t: TestContext, tensors: Readonly<Record<string, PlainTensor>> = TENSORS): { here: string; there: string } {
  const folder = workspace(t, 'upstream')
  const [here, there] = [join(folder, 'here'), join(folder, 'there')]
  mkdirSync(join(here, 'expected'), { recursive: true })
  writeJson(here, 'config.json', CONFIG)
  writeSafetensors(join(here, 'expected', 'model.safetensors'), TENSORS)
  cpSync(here, there, { recursive: true })
  writeSafetensors(join(there, 'expected', 'model.safetensors'), tensors)
  return { here, there }
}

async function lines(here: string, there: string): Promise<string[]> {
  return changeLines(await folderChanges(here, there))
}

function writeJson(folder: string, name: string, value: unknown): void {
  writeFileSync(join(folder, name), JSON.stringify(value))
}
