/**
 * A sweep over every adapter and every expectation of the golden merges: each has a rule here, by its name and its config, or the sweep fails. Merged
 * folders are held to the tolerances of the golden data's README; what cannot be merged, to its reason.
 */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { parseCombine } from '../src/cli/combine-options.js'
import { UnsupportedError } from '../src/core/errors.js'
import { execute, planMerge, ToolkitError } from '../src/index.js'
import type { AdapterOption, MergeOptions } from '../src/index.js'
import type { PlainFloat } from '../src/core/dtypes.js'
import { FIXTURES, GOLDEN, SKIP_WITHOUT_GOLDEN } from './support/paths.js'
import { readSafetensors, valuesOf, writeSafetensors, type PlainTensor } from './support/plain-tensors.js'
import { workspace } from './support/workspace.js'

/** Cases whose adapters are of other formats than PEFT's, and the tests that have them. */
const OTHER_FORMATS = /^(?:loralib_|litgpt_|pickle_formats$|foreign_formats$)/

/** Expectations of ways to combine that we have not: refused by name. */
const OTHER_COMBINATION = /^expected-(dare_linear|dare_ties|(?:dare_linear|dare_ties|ties|magnitude_prune)_svd)/

/** What may be refused though PEFT merges it: the reason must be one of these. */
const REFUSED_TYPES = /random numbers|singular value decomposition|save_projection/

/** Cases whose expectation holds but some tensors. */
const HOLDS_PARTS = /^fp8_block_base$/

/** Why an adapter without expectation is refused, by what the case is called. */
const REASONS: Readonly<Record<string, RegExp>> = {
  'adapter-missing_b': /lora_B/,
  'adapter-nan': /nan|not finite/i,
  'adapter-r0': /\br\b.*0/,
  'adapter-r_differs': /rank|\br\b/,
  'adapter-unknown_module': /no such|nearest|does not have|no tensor/i,
  'adapter-wrong_shape': /shape|\[4, 31\]|31/,
  'adapter-zero3': /empty|zero|ZeRO|\[0\]/i,
  'adapter-native': /changes the base before training.*--base-is-residual/,
  reject_alora: /alora_invocation_tokens.*acts only after/,
  reject_prefix_tuning: /PREFIX_TUNING.*virtual tokens/,
  reject_prompt_tuning: /PROMPT_TUNING.*virtual tokens/,
  variant_layer_replication: /layer_replication.*copies/,
  llama_lora_bias_nobias: /has no bias/,
  other_lily: /LILY.*routes by input/,
  other_beft: /no bias to add it to/,
  mimic_gptq: /GPTQ|quantized/,
  mimic_bnb_nf4: /quantized|bitsandbytes/,
  mimic_bnb_int8: /quantized|bitsandbytes/,
}

/** f32: |ours - expected| <= 1e-6 + 2^-22 |expected|; bf16, f16: equal but for 1 element in 1000 (always 2), one step of its own magnitude away. */
function assertClose(name: string, ours: PlainTensor, expected: PlainTensor): void {
  assert.deepEqual([ours.dtype, ours.shape], [expected.dtype, expected.shape], name)
  if (!['F32', 'F16', 'BF16'].includes(expected.dtype)) return assert.deepEqual(ours.bytes, expected.bytes, name)
  const [a, b] = [valuesOf(ours), valuesOf(expected)]
  let off = 0
  for (const [i, want] of b.entries()) {
    const difference = Math.abs((a[i] ?? Number.NaN) - want)
    if (expected.dtype === 'F32') assert.ok(difference <= 1e-6 + 2 ** -22 * Math.abs(want), `${name}[${i}]: ${a[i]}, wanted ${want}`)
    else if (difference > 0) {
      off++
      const step = 2 ** (Math.floor(Math.log2(Math.max(Math.abs(want), 1e-30))) - (expected.dtype === 'BF16' ? 7 : 10))
      assert.ok(difference <= step * 1.0001, `${name}[${i}]: ${a[i]}, wanted ${want}`)
    }
  }
  assert.ok(off <= Math.max(2, b.length / 1000), `${name}: ${off} of ${b.length} elements differ`)
}

/** Tensors of `expected`; `onlyThese` when it holds but what changed. */
function assertSame(ours: ReadonlyMap<string, PlainTensor>, expected: ReadonlyMap<string, PlainTensor>, onlyThese = false): void {
  if (!onlyThese) assert.deepEqual([...ours.keys()].sort(), [...expected.keys()].sort())
  for (const [name, tensor] of expected) {
    const own = ours.get(name)
    assert.ok(own, `${name} is missing`)
    assertClose(name, own, tensor)
  }
}

interface Wish {
  readonly adapters: readonly AdapterOption[]
  readonly options?: Partial<MergeOptions>
}

async function merged(out: string, base: string, { adapters, options }: Wish): Promise<Map<string, PlainTensor>> {
  await execute(await planMerge({ base, adapters, out, ...options }))
  return readSafetensors(out)
}

function configOf(folder: string): Record<string, unknown> {
  return JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')) as Record<string, unknown>
}

/** Ways to combine two adapters, by their names in expectations. */
const COMBINATIONS: Readonly<Record<string, Wish['options']>> = {
  '': {},
  correct: {},
  cat: { combine: 'sum' },
  'peft-cat': { combine: 'sum', likePeft: true },
  linear: { combine: 'linear' },
  svd: { combine: 'svd' },
  svd8: { combine: 'svd', svdRank: 8 },
  ties: { combine: 'ties' },
  ties_freq: { combine: 'ties', majoritySign: 'frequency' },
  magnitude_prune: { combine: 'magnitude_prune' },
}

/** What an expectation asks for, by its name; undefined when there is no rule for it. */
function wishFor(folder: string, expected: string): Wish | undefined {
  const one = [{ path: join(folder, 'adapter') }]
  const two = (first: number, second: number): AdapterOption[] => [
    { path: join(folder, 'adapter'), weight: first },
    { path: join(folder, 'adapter-b'), weight: second },
  ]
  const isFaithful = !existsSync(join(folder, 'expected-untied')) && !existsSync(join(folder, 'expected-correct'))
  const [, kind = '', first, second, density] = /^expected-?([a-z\d_-]*?)-(-?[\d.]+)-(-?[\d.]+)(?:-d([\d.]+))?$/.exec(expected) ?? []
  const combination = first === undefined ? undefined : COMBINATIONS[kind]
  if (combination !== undefined)
    return {
      adapters: two(Number(first), Number(second)),
      options: { dtype: 'F32', ...combination, ...(density === undefined ? {} : { density: Number(density) }) },
    }
  // the only expectation of two adapters is their sum with the weights of its maker
  if (expected === 'expected' && existsSync(join(folder, 'adapter-b'))) return { adapters: two(0.7, 0.3), options: { dtype: 'F32' } }
  switch (expected) {
    case 'expected':
      return { adapters: one, options: { dtype: 'F32', likePeft: !isFaithful } }
    case 'expected-untied':
    case 'expected-correct':
      return { adapters: one, options: { dtype: 'F32' } }
    case 'expected-bf16':
    case 'expected-f16':
      return { adapters: one, options: { dtype: expected.slice('expected-'.length).toUpperCase() as PlainFloat } }
    case 'expected-sequential-a-b':
      return { adapters: two(1, 1), options: { dtype: 'F32' } }
    default:
      return undefined
  }
}

/** What PEFT does and we do not: refused, or another on purpose. */
function checkUnwished(folder: string, name: string, expected: string): void {
  const [, combination] = OTHER_COMBINATION.exec(expected) ?? []
  if (combination !== undefined) {
    return void it(`refuses to combine as ${name}/${expected}`, () => assert.throws(() => parseCombine('--combine', combination), UnsupportedError))
  }
  it(`rounds once where ${name}/${expected} rounds the delta before adding it`, async (t) => {
    assert.equal(expected, 'expected-bf16-noautocast', 'no rule for this expectation')
    const ours = await merged(join(workspace(t), 'merged'), join(folder, 'base'), { adapters: [{ path: join(folder, 'adapter') }], options: { dtype: 'BF16' } })
    const theirs = readSafetensors(join(folder, expected))
    assert.deepEqual([...ours.keys()].sort(), [...theirs.keys()].sort())
    assert.throws(() => assertSame(ours, theirs))
  })
}

function checkExpected(folder: string, name: string, expected: string): void {
  const wish = wishFor(folder, expected)
  if (wish === undefined) {
    return checkUnwished(folder, name, expected)
  }
  it(`merges ${name} as ${expected} says`, async (t) => {
    const out = join(workspace(t), 'merged')
    let ours: Map<string, PlainTensor>
    try {
      ours = await merged(out, join(folder, 'base'), wish)
    } catch (error) {
      assert.ok(error instanceof ToolkitError && error.exitCode === 4 && REFUSED_TYPES.test(error.message), String(error))
      return assert.equal(existsSync(out), false)
    }
    let theirs = readSafetensors(join(folder, expected))
    // this base lacks the prefix that PEFT's model class has
    if (name === 'gpt2_noprefix') theirs = new Map([...theirs].map(([key, tensor]) => [key.replace(/^transformer\./, ''), tensor]))
    assertSame(ours, theirs, HOLDS_PARTS.test(name) || (expected !== 'expected' && !/^expected-(?:bf16|f16)$/.test(expected)))
    assertConfig(out, join(folder, expected))
    if (wish.adapters.length === 2) await assertOrderIsNone(join(out, '../reversed'), folder, wish, ours)
  })
}

/** The facts of config.json that merging decides. */
function assertConfig(out: string, expected: string): void {
  if (!existsSync(join(expected, 'config.json')) || !existsSync(join(out, 'config.json'))) return
  const [ours, theirs] = [configOf(out), configOf(expected)]
  for (const key of ['tie_word_embeddings', 'vocab_size', 'dtype']) assert.deepEqual(ours[key], theirs[key], key)
}

async function assertOrderIsNone(out: string, folder: string, { adapters, options }: Wish, ours: ReadonlyMap<string, PlainTensor>): Promise<void> {
  const reversed = await merged(out, join(folder, 'base'), { adapters: adapters.toReversed(), ...(options === undefined ? {} : { options }) })
  for (const [name, { bytes }] of ours) assert.deepEqual(reversed.get(name)?.bytes, bytes, name)
}

function checkRefused(folder: string, name: string, adapter: string): void {
  const reason = REASONS[adapter] ?? REASONS[name]
  it(`refuses ${name}/${adapter} with its reason and leaves nothing`, async (t) => {
    assert.ok(reason, 'no rule for this adapter')
    const out = join(workspace(t), 'merged')
    await assert.rejects(merged(out, join(folder, 'base'), { adapters: [{ path: join(folder, adapter) }] }), (error) => {
      assert.ok(error instanceof ToolkitError, String(error))
      assert.ok([3, 4, 6].includes(error.exitCode), error.message)
      assert.match(error.message, reason)
      return true
    })
    assert.equal(existsSync(out), false)
  })
}

function checkSameAsPlain(folder: string, name: string, adapter: string): void {
  it(`merges ${name}/${adapter} as the plain adapter`, async (t) => {
    const root = workspace(t)
    const [plain, other] = [join(root, 'plain'), join(root, 'other')]
    const wanted = await merged(plain, join(folder, 'base'), { adapters: [{ path: join(folder, 'adapter') }] })
    const ours = await merged(other, join(folder, 'base'), { adapters: [{ path: join(folder, adapter) }] })
    for (const [tensor, { bytes }] of wanted) assert.deepEqual(ours.get(tensor)?.bytes, bytes, tensor)
  })
}

/** The changed base is what the trained model is without the update: with it, the raw adapter gives the trained model. */
function checkResidual(folder: string, name: string): void {
  it(`merges ${name}/adapter-native into the changed base, when told that it is`, async (t) => {
    const root = workspace(t)
    const [trained, native] = [readSafetensors(join(folder, 'expected')), join(folder, 'adapter-native')]
    const once = { adapters: [{ path: native }], options: { dtype: 'F32' as const, baseIsResidual: true, receipt: false as const } }
    const residual = join(root, 'residual.safetensors')
    writeSafetensors(residual, Object.fromEntries(trained))
    const twice = await merged(join(root, 'away'), residual, { ...once, adapters: [{ path: native, weight: -1 }] })
    writeSafetensors(residual, Object.fromEntries(twice))
    assertSame(await merged(join(root, 'back'), residual, once), trained)
  })
}

function checkCase(folder: string, name: string): void {
  const entries = readdirSync(folder).sort()
  const adapters = entries.filter((entry) => entry.startsWith('adapter'))
  const expected = entries.filter((entry) => entry.startsWith('expected') && entry !== 'expected-native')
  for (const one of expected) checkExpected(folder, name, one)
  for (const adapter of adapters) {
    if (adapter === 'adapter-name_in_key' || adapter === 'adapter-no_prefix') checkSameAsPlain(folder, name, adapter)
    else if (adapter === 'adapter' ? expected.length === 0 && name !== 'broken_adapters' : adapter !== 'adapter-b') checkRefused(folder, name, adapter)
    if (adapter === 'adapter-native') checkResidual(folder, name)
  }
}

function checkCases(root: string): void {
  for (const entry of readdirSync(join(root, 'merge'), { withFileTypes: true })) {
    if (entry.isDirectory() && !OTHER_FORMATS.test(entry.name)) checkCase(join(root, 'merge', entry.name), entry.name)
  }
}

describe('the golden merges of the project', () => checkCases(join(FIXTURES, 'golden')))

describe('golden merges', { skip: SKIP_WITHOUT_GOLDEN }, () => {
  if (GOLDEN !== undefined) checkCases(GOLDEN)
})
