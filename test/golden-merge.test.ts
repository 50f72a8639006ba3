/** Merged folders against PEFT's, within the tolerances of the golden data's README; broken adapters against their faults. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { execute, planMerge, ToolkitError } from '../src/index.js'
import type { AdapterOption } from '../src/index.js'
import type { PlainFloat } from '../src/core/dtypes.js'
import { FIXTURES, GOLDEN, SKIP_WITHOUT_GOLDEN } from './support/paths.js'
import { readSafetensors, valuesOf, type PlainTensor } from './support/plain-tensors.js'
import { workspace } from './support/workspace.js'

const CASES = [
  ...['llama_plain_r8', 'llama_bf16_sharded', 'llama_bf16_adapter_bf16', 'llama_rslora', 'llama_rank_alpha_pattern', 'init_gaussian', 'llama_bin_shards'],
  ...['gpt2_conv1d', 'gpt2_lora_bias_all', 'qwen2_lora_bias', 'llama_embed_lora_untied', 'llama_embed_lora_untied_auto'],
  ...['llama_modules_to_save', 'llama_resized_vocab', 'other_ln_tuning', 'llama_trainable_tokens', 'llama_pure_trainable_tokens'],
  ...['llama_dora', 'llama_dora_bf16', 'gpt2_dora_conv1d', 'conv_lora', 'mha_lora', 'llama_pissa', 'llama_olora'],
  ...['phi3_fused_qkv', 'bloom_fused_qkv', 'falcon_fused_qkv', 'llava_adapter_v5_keys', 'variant_mica', 'variant_velora', 'variant_monteclora'],
  ...['mixtral_target_parameters', 'mixtral_per_expert_v4', 'gptoss_target_parameters'],
  ...['qwen3moe_target_parameters', 'qwen3moe_target_parameters_peft018', 'qwen3moe_only_gate_up_proj', 'qwen3moe_attention_only', 'qwen3moe_per_expert_v4'],
  ...['qwen2_tied_linear', 'qwen2_tied_mts_embed', 'qwen2_tied_mts_ensure'],
  ...['ia3', 'loha', 'lokr', 'lokr_full', 'adalora', 'vera', 'other_hira', 'other_miss', 'other_pvera', 'other_delora'],
]
/** Where PEFT's own result is wrong against the trained model: the faithful expectation, which may hold only what changed. */
const FAITHFUL: Readonly<Record<string, { readonly expected: string; readonly tied: boolean }>> = {
  qwen2_tied_embed: { expected: 'expected-untied', tied: false },
  qwen2_tied_lmhead: { expected: 'expected-untied', tied: false },
  qwen2_tied_ensure: { expected: 'expected-correct', tied: true },
}
const FAULTS: Readonly<Record<string, RegExp>> = {
  'adapter-missing_b': /lora_B/,
  'adapter-nan': /nan|not finite/i,
  'adapter-r0': /\br\b.*0/,
  'adapter-r_differs': /rank|\br\b/,
  'adapter-unknown_module': /no such|nearest|does not have|no tensor/i,
  'adapter-wrong_shape': /shape|\[4, 31\]|31/,
  'adapter-zero3': /empty|zero|ZeRO|\[0\]/i,
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

async function merged(out: string, base: string, adapters: readonly AdapterOption[], dtype?: PlainFloat): Promise<Map<string, PlainTensor>> {
  await execute(await planMerge({ base, adapters, out, dtype }))
  return readSafetensors(out)
}

function assertSame(ours: ReadonlyMap<string, PlainTensor>, expected: ReadonlyMap<string, PlainTensor>, onlyThese = false): void {
  if (!onlyThese) assert.deepEqual([...ours.keys()].sort(), [...expected.keys()].sort())
  for (const [name, tensor] of expected) {
    const own = ours.get(name)
    assert.ok(own, `${name} is missing`)
    assertClose(name, own, tensor)
  }
}

function checkCases(root: string): void {
  for (const name of CASES) {
    const folder = join(root, 'merge', name)
    if (!existsSync(folder)) continue
    const wanted: [string, PlainFloat][] = [
      ['expected', 'F32'],
      ['expected-bf16', 'BF16'],
      ['expected-f16', 'F16'],
    ]
    for (const [expected, dtype] of wanted.filter(([one]) => existsSync(join(folder, one)))) {
      it(`merges ${name} as PEFT does, in ${dtype}`, async (t) => {
        const out = join(workspace(t), 'merged')
        assertSame(await merged(out, join(folder, 'base'), [{ path: join(folder, 'adapter') }], dtype), readSafetensors(join(folder, expected)))
        if (!existsSync(join(folder, expected, 'config.json'))) return
        const [ours, theirs] = [out, join(folder, expected)].map((one) => JSON.parse(readFileSync(join(one, 'config.json'), 'utf8')) as Record<string, unknown>)
        for (const key of ['tie_word_embeddings', 'vocab_size', 'dtype']) assert.deepEqual(ours?.[key], theirs?.[key], key)
      })
    }
  }
  for (const [name, { expected, tied }] of Object.entries(FAITHFUL)) {
    const folder = join(root, 'merge', name)
    if (!existsSync(folder)) continue
    it(`merges ${name} as it was trained`, async (t) => {
      const out = join(workspace(t), 'merged')
      const ours = await merged(out, join(folder, 'base'), [{ path: join(folder, 'adapter') }], 'F32')
      assertSame(ours, readSafetensors(join(folder, expected)), true)
      const config = JSON.parse(readFileSync(join(out, 'config.json'), 'utf8')) as Record<string, unknown>
      assert.deepEqual([config['tie_word_embeddings'], ours.has('lm_head.weight')], [tied, !tied])
    })
  }
  for (const name of Object.keys(FAITHFUL)) {
    const folder = join(root, 'merge', name)
    if (!existsSync(folder)) continue
    it(`merges ${name} as PEFT does when asked to`, async (t) => {
      const out = join(workspace(t), 'merged')
      await execute(await planMerge({ base: join(folder, 'base'), adapters: [{ path: join(folder, 'adapter') }], out, dtype: 'F32', likePeft: true }))
      assertSame(readSafetensors(out), readSafetensors(join(folder, 'expected')))
    })
  }
  const two = join(root, 'merge', 'two_adapters')
  for (const expected of existsSync(two) ? readdirSync(two).filter((one) => one.startsWith('expected-cat')) : []) {
    const [, first, second] = /^expected-cat-(-?[\d.]+)-(-?[\d.]+)$/.exec(expected) ?? []
    it(`sums two adapters with weights ${first} and ${second}, whatever their order`, async (t) => {
      const folder = workspace(t)
      const adapters = [
        { path: join(two, 'adapter'), weight: Number(first) },
        { path: join(two, 'adapter-b'), weight: Number(second) },
      ]
      const ours = await merged(join(folder, 'ab'), join(two, 'base'), adapters, 'F32')
      assertSame(ours, readSafetensors(join(two, expected)), true)
      const reversed = await merged(join(folder, 'ba'), join(two, 'base'), adapters.reverse(), 'F32')
      for (const [name, { bytes }] of ours) assert.deepEqual(reversed.get(name)?.bytes, bytes, name)
    })
  }
  const broken = join(root, 'merge', 'broken_adapters')
  for (const [fault, reason] of Object.entries(FAULTS)) {
    if (!existsSync(join(broken, fault))) continue
    it(`refuses ${fault} with its reason and leaves nothing`, async (t) => {
      const out = join(workspace(t), 'merged')
      await assert.rejects(merged(out, join(broken, 'base'), [{ path: join(broken, fault) }]), (error) => {
        assert.ok(error instanceof ToolkitError, String(error))
        assert.ok([3, 4, 6].includes(error.exitCode), error.message)
        assert.match(error.message, reason)
        return true
      })
      assert.equal(existsSync(out), false)
    })
  }
  for (const harmless of ['adapter-name_in_key', 'adapter-no_prefix'].filter((one) => existsSync(join(broken, one)))) {
    it(`merges ${harmless} as the plain adapter`, async (t) => {
      const folder = workspace(t)
      const plain = await merged(join(folder, 'plain'), join(broken, 'base'), [{ path: join(broken, 'adapter') }])
      const other = await merged(join(folder, 'other'), join(broken, 'base'), [{ path: join(broken, harmless) }])
      for (const [name, { bytes }] of plain) assert.deepEqual(other.get(name)?.bytes, bytes, name)
    })
  }
}

describe('the golden merges of the project', () => checkCases(join(FIXTURES, 'golden')))

describe('golden merges', { skip: SKIP_WITHOUT_GOLDEN }, () => {
  if (GOLDEN !== undefined) checkCases(GOLDEN)
})
