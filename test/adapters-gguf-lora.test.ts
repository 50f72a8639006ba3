/** LoRAs in GGUF: into checkpoints of Hugging Face and into GGUFs they give the bytes of the PEFT adapter that they were made from. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { FormatError, MismatchError, UnsupportedError, UsageError, type ToolkitError } from '../src/core/errors.js'
import type { QuantType } from '../src/core/quant-types.js'
import { execute, planGguf, planMerge, type AdapterOption } from '../src/index.js'
import { assertNear, plus, rowsFrom, seeded, tensorOf, times, type Matrix } from './support/dense.js'
import { ggufLoraOf, writeGgufLora, type GgufLoraMake, type GgufLoraTensor } from './support/gguf-lora-file.js'
import { readGguf } from './support/gguf-file.js'
import { GOLDEN, SKIP_WITHOUT_GOLDEN } from './support/paths.js'
import { readSafetensors, writeSafetensors } from './support/plain-tensors.js'
import { smallLlamaModules, writeSmallLlama } from './support/small-llama.js'
import { seededTensor, writeAdapter, writeSideFiles } from './support/tiny-models.js'
import { workspace } from './support/workspace.js'

const HEADS = { q: 4, k: 2 }
const ALPHA = 6

/** A small llama, a PEFT adapter on it, and the same as GGUF. */
function made(t: TestContext, type: QuantType = 'f32'): { root: string; model: string; peft: string; lora: string } {
  const root = workspace(t, 'gguf-lora')
  const model = writeSmallLlama(root, () => 'F32', 'model')
  const modules = { ...smallLlamaModules(0, 'q_proj', 'v_proj', 'o_proj'), ...smallLlamaModules(1, 'k_proj', 'gate_proj', 'down_proj'), lm_head: [48, 256] as const } // prettier-ignore
  const peft = writeAdapter(join(root, 'peft'), { modules, rank: 4, alpha: ALPHA })
  return { root, model, peft, lora: ggufLoraOf(peft, join(root, 'lora.gguf'), ALPHA, HEADS, type) }
}

async function folder(base: string, adapters: readonly AdapterOption[], out: string): Promise<Buffer> {
  await execute(await planMerge({ base, adapters, out }), { threads: 2 })
  return readFileSync(join(out, 'model.safetensors'))
}

async function gguf(model: string, adapters: readonly AdapterOption[], outfile: string, type?: 'f32' | 'q8_0'): Promise<Buffer> {
  const isGguf = model.endsWith('.gguf')
  await execute(await planGguf({ model, adapters, outfile, outtype: type, ...(isGguf ? {} : { noVocab: true }), modelfile: false, receipt: false }))
  return readFileSync(outfile)
}

describe('LoRAs in GGUF', () => {
  it('merge into a checkpoint to the bytes that the PEFT adapter gives, rope order and an untied output among them', async (t) => {
    const { root, model, peft, lora } = made(t)
    assert.deepEqual(await folder(model, [{ path: lora }], join(root, 'a')), await folder(model, [{ path: peft }], join(root, 'b')))
    mkdirSync(join(root, 'alone'))
    writeFileSync(join(root, 'alone', 'any-name.gguf'), readFileSync(lora)) // a folder that holds nothing else
    assert.deepEqual(await folder(model, [{ path: join(root, 'alone') }], join(root, 'c')), readFileSync(join(root, 'b', 'model.safetensors')))
  })

  for (const type of ['f32', 'q8_0'] as const)
    it(`merge into a GGUF of ${type}, and on the way to one, to the bytes that the PEFT adapter gives`, async (t) => {
      const { root, model, peft, lora } = made(t)
      const base = join(root, 'base.gguf')
      await gguf(model, [], base, type)
      assert.deepEqual(await gguf(base, [{ path: lora }], join(root, 'a.gguf')), await gguf(base, [{ path: peft }], join(root, 'b.gguf')))
      assert.deepEqual(await gguf(model, [{ path: lora }], join(root, 'c.gguf'), type), await gguf(model, [{ path: peft }], join(root, 'd.gguf'), type))
    })

  it('are summed with adapters of other formats in one rounding, in any order', async (t) => {
    const { root, model, peft, lora } = made(t)
    const other = writeAdapter(join(root, 'other'), { modules: smallLlamaModules(0, 'q_proj', 'v_proj'), seed: 9 })
    const base = join(root, 'base.gguf')
    await gguf(model, [], base, 'f32')
    const both = [{ path: lora, weight: 0.7 }, { path: other, weight: 0.4 }] // prettier-ignore
    const summed = await gguf(base, both, join(root, 'a.gguf'))
    assert.deepEqual(await gguf(base, [...both].reverse(), join(root, 'b.gguf')), summed)
    // one adapter twice, in two formats, with opposite weights: the base again
    const none = [{ path: lora, weight: 1 }, { path: peft, weight: -1 }] // prettier-ignore
    const [merged, plain] = [await readGguf(join(root, 'base.gguf')), await gguf(base, none, join(root, 'c.gguf')).then(() => readGguf(join(root, 'c.gguf')))]
    for (const { name, bytes } of merged.tensors) assert.deepEqual(plain.tensor(name).bytes, bytes, name)
  })

  it('may be quantized themselves', async (t) => {
    const { root, model, lora } = made(t, 'q8_0')
    assert.ok((await readGguf(lora)).tensors.some(({ type }) => type === 'q8_0'))
    const [exact, near] = [made(t).lora, lora].map((path) => ({ path }))
    assert.ok(exact !== undefined && near !== undefined)
    await folder(model, [near], join(root, 'a'))
    await folder(model, [exact], join(root, 'b'))
    const [W, a, b] = [model, join(root, 'a'), join(root, 'b')].map((path) => {
      const { bytes = new Uint8Array() } = readSafetensors(path).get('model.layers.0.self_attn.q_proj.weight') ?? {}
      return [...new Float32Array(bytes.slice().buffer)]
    })
    assert.ok(W !== undefined && a !== undefined && b !== undefined)
    const distance = (one: readonly number[], two: readonly number[]): number => Math.sqrt(one.reduce((sum, value, i) => sum + (value - (two[i] ?? 0)) ** 2, 0))
    const error = distance(a, b) / distance(W, b)
    assert.ok(error > 0 && error < 0.01, String(error)) // q8_0 keeps 8 bits
  })

  it('take the embedding apart as the converter put it together', async (t) => {
    const { root, model } = made(t)
    const [A, B] = [seededTensor(1, 'F32', [4, 48], 0.1), seededTensor(2, 'F32', [256, 4], 0.1)]
    const peft = writeAdapter(join(root, 'embed'), { modules: {}, alpha: 2 })
    writeSafetensors(join(peft, 'adapter_model.safetensors'), {
      'base_model.model.model.embed_tokens.lora_embedding_A': A,
      'base_model.model.model.embed_tokens.lora_embedding_B': B,
    })
    const lora = ggufLoraOf(peft, join(root, 'embed.gguf'), 2, HEADS)
    assert.deepEqual(await folder(model, [{ path: lora }], join(root, 'a')), await folder(model, [{ path: peft }], join(root, 'b')))
    await gguf(model, [], join(root, 'base.gguf'), 'f32')
    assert.deepEqual(
      await gguf(join(root, 'base.gguf'), [{ path: lora }], join(root, 'a.gguf')),
      await gguf(model, [{ path: peft }], join(root, 'b.gguf'), 'f32'),
    )
  })

  it('go into a GGUF of any architecture by its own names, stacked experts too', async (t) => {
    const root = workspace(t, 'gguf-direct')
    const [experts, rows, cols, rank] = [3, 6, 8, 2]
    const [W, E] = [seeded(1, rows, cols), seeded(2, experts * rows, cols)]
    const [A, B, EA, EB] = [seeded(3, rank, cols), seeded(4, rows, rank), seeded(5, experts * rank, cols), seeded(6, experts * rows, rank)]
    const tensor = (name: string, values: Matrix, shape = [values.length, values[0]?.length ?? 0]): GgufLoraTensor => ({ name, shape, values: values.flat() })
    const architecture = 'not-in-any-table'
    const more = [{ key: 'general.type', value: { type: 'string', value: 'model' } }] as const
    const base = writeGgufLora(join(root, 'base.gguf'), [tensor('blk.0.some_matrix.weight', W), tensor('blk.0.ffn_x_exps.weight', E, [experts, rows, cols])], { architecture, more: [...more], kind: 'model' }) // prettier-ignore
    const lora = writeGgufLora(
      join(root, 'lora.gguf'),
      [
        tensor('blk.0.some_matrix.weight.lora_a', A),
        tensor('blk.0.some_matrix.weight.lora_b', B),
        tensor('blk.0.ffn_x_exps.weight.lora_a', EA, [experts, rank, cols]),
        tensor('blk.0.ffn_x_exps.weight.lora_b', EB, [experts, rows, rank]),
      ],
      { architecture, alpha: 3 },
    )
    await gguf(base, [{ path: lora }], join(root, 'out.gguf'))
    const out = await readGguf(join(root, 'out.gguf'))
    const read = (name: string): ReturnType<typeof tensorOf> => ({ dtype: 'F32', shape: [], bytes: Uint8Array.from(out.tensor(name).bytes) })
    assertNear('matrix', read('blk.0.some_matrix.weight'), plus(W, times(B, A), 1.5))
    const delta = [0, 1, 2].flatMap((e) => times(rowsFrom(EB, e * rows, rows), rowsFrom(EA, e * rank, rank)))
    assertNear('experts', read('blk.0.ffn_x_exps.weight'), plus(E, delta, 1.5))
  })

  it('find stacked experts in a checkpoint that has them apart', async (t) => {
    const root = workspace(t, 'gguf-experts')
    const [experts, width, inner, rank] = [4, 16, 8, 2]
    const config = { architectures: ['Qwen3MoeForCausalLM'], model_type: 'qwen3_moe', hidden_size: width, intermediate_size: 32, moe_intermediate_size: inner, num_experts: experts, num_experts_per_tok: 2, num_hidden_layers: 1, num_attention_heads: 2, num_key_value_heads: 1, head_dim: 8, vocab_size: 32, rms_norm_eps: 1e-6, max_position_embeddings: 64 } // prettier-ignore
    const model = writeSideFiles(join(root, 'model'), { 'config.json': config })
    const W = Array.from({ length: experts }, (_, e) => seeded(e + 1, inner, width))
    writeSafetensors(join(model, 'model.safetensors'), Object.fromEntries(W.map((one, e) => [`model.layers.0.mlp.experts.${e}.up_proj.weight`, tensorOf(one)])))
    const [A, B] = [seeded(8, experts * rank, width), seeded(9, experts * inner, rank)]
    const lora = writeGgufLora(
      join(root, 'lora.gguf'),
      [
        { name: 'blk.0.ffn_up_exps.weight.lora_a', shape: [experts, rank, width], values: A.flat() },
        { name: 'blk.0.ffn_up_exps.weight.lora_b', shape: [experts, inner, rank], values: B.flat() },
      ],
      { architecture: 'qwen3moe', alpha: 4 },
    )
    await folder(model, [{ path: lora }], join(root, 'out'))
    const out = readSafetensors(join(root, 'out'))
    W.forEach((one, e) =>
      assertNear(
        `expert ${e}`,
        out.get(`model.layers.0.mlp.experts.${e}.up_proj.weight`),
        plus(one, times(rowsFrom(B, e * inner, inner), rowsFrom(A, e * rank, rank)), 2),
      ),
    )
  })

  it('replace norms that were trained whole', async (t) => {
    const { root, model } = made(t)
    const norm = Array.from({ length: 256 }, (_, i) => i / 256)
    const factors = [{ name: 'blk.0.attn_v.weight.lora_a', shape: [1, 256], values: norm }, { name: 'blk.0.attn_v.weight.lora_b', shape: [64, 1], values: norm.slice(0, 64) }] // prettier-ignore
    const lora = writeGgufLora(join(root, 'norm.gguf'), [...factors, { name: 'blk.1.ffn_norm.weight', shape: [256], values: norm }])
    await folder(model, [{ path: lora }], join(root, 'out'))
    assertNear('norm', readSafetensors(join(root, 'out')).get('model.layers.1.post_attention_layernorm.weight'), [norm])
  })

  it('are refused when they are something else, or for another model', async (t) => {
    const { root, model, lora } = made(t)
    const [a, b] = [{ name: 'blk.0.attn_v.weight.lora_a', shape: [2, 256], values: new Float32Array(512) }, { name: 'blk.0.attn_v.weight.lora_b', shape: [64, 2], values: new Float32Array(128) }] // prettier-ignore
    const fault = async (tensors: readonly GgufLoraTensor[], make: GgufLoraMake, kind: new (what: string) => ToolkitError, reason: RegExp): Promise<void> => {
      const path = writeGgufLora(join(root, 'fault.gguf'), tensors, make)
      await assert.rejects(
        planMerge({ base: model, adapters: [{ path }], out: join(root, 'out') }),
        (error) => error instanceof kind && reason.test(error.message),
      )
    }
    const text = (key: string, value: string): GgufLoraMake => ({ more: [{ key, value: { type: 'string', value } }] })
    await fault([a, b], { architecture: 'qwen2' }, MismatchError, /for "qwen2", the base is "llama"/)
    await fault([a, b], text('general.type', 'model'), UsageError, /is a GGUF model, not an adapter/)
    await fault([a, b], text('adapter.type', 'other'), UnsupportedError, /only lora/)
    await fault([a, b], { architecture: 'controlvector' }, UnsupportedError, /control vector/)
    await fault(
      [a, b],
      { more: [{ key: 'adapter.alora.invocation_tokens', value: { type: 'array', items: 'u32', value: [1] } }] },
      UnsupportedError,
      /activated LoRA/,
    )
    await fault([a], {}, MismatchError, /no partner "blk\.0\.attn_v\.weight\.lora_b"/)
    await fault([a, b, { name: 'blk.0.attn_v.bias', shape: [64], values: new Float32Array(64) }], {}, MismatchError, /"blk\.0\.attn_v\.bias".*left over/)
    await fault([a, { ...b, shape: [32, 4] }], {}, MismatchError, /cannot be multiplied/)
    await fault(
      [
        { ...a, shape: [1, 512] },
        { ...b, shape: [128, 1] },
      ],
      {},
      MismatchError,
      /its update is \[128, 512\]/,
    )
    await fault(
      [
        { ...a, name: 'blk.9.attn_v.weight.lora_a' },
        { ...b, name: 'blk.9.attn_v.weight.lora_b' },
      ],
      {},
      MismatchError,
      /layers\.9/,
    )
    await fault(
      [
        { ...a, name: 'blk.0.odd.weight.lora_a' },
        { ...b, name: 'blk.0.odd.weight.lora_b' },
      ],
      {},
      UnsupportedError,
      /blk\.0\.odd/,
    )
    await fault([], {}, MismatchError, /no LoRA tensors/)
    await fault([a, b], { alpha: Infinity }, FormatError, /finite/)
    const single = join(model, 'model.safetensors')
    await assert.rejects(
      planMerge({ base: single, adapters: [{ path: lora }], out: join(root, 'o.safetensors') }),
      (error) => error instanceof UnsupportedError && /config\.json/.test(error.message),
    )
    assert.equal(existsSync(join(root, 'out')), false)
  })
})

describe('golden GGUF LoRAs', { skip: SKIP_WITHOUT_GOLDEN }, () => {
  const merge = join(GOLDEN ?? '', 'merge')
  it('give the bytes of the adapter that they were made from', async (t) => {
    const root = workspace(t)
    const base = join(merge, 'llama_plain_r8', 'base')
    const lora = await folder(base, [{ path: join(merge, 'foreign_formats', 'llama_plain_r8-lora-f32.gguf') }], join(root, 'a'))
    assert.deepEqual(lora, await folder(base, [{ path: join(merge, 'llama_plain_r8', 'adapter') }], join(root, 'b')))
  })
})
