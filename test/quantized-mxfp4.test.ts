/** Experts that are stored as MXFP4: moved into a GGUF bit by bit, or read as numbers, as (experts, in, out). */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { rowRange, transpose } from '../src/core/row-maps.js'
import { movesMxfp4 } from '../src/core/mxfp4-rows.js'
import { programShape } from '../src/core/row-program.js'
import { execute, planGguf, planMerge } from '../src/index.js'
import { Checkpoint } from '../src/quantized/checkpoint.js'
import { readMxfp4 } from '../src/quantized/micro-blocks.js'
import { readGguf } from './support/gguf-file.js'
import { readSafetensors, valuesOf, type PlainTensor } from './support/plain-tensors.js'
import { memoryTensor } from './support/plans.js'
import { Seeded } from './support/straight-math.js'
import { seededTensor, writeAdapter, writeSideFiles, writeWeights } from './support/tiny-models.js'
import { workspace } from './support/workspace.js'

const [EXPERTS, HIDDEN, INNER] = [3, 64, 32]
const LAYER = 'model.layers.0'
const E2M1 = [0, 0.5, 1, 1.5, 2, 3, 4, 6, -0, -0.5, -1, -1.5, -2, -3, -4, -6]

/** Seeded codes and scales of (experts, out, in). */
function stacked(seed: number, out: number, inputs: number): { blocks: PlainTensor; scales: PlainTensor } {
  const random = new Seeded(seed)
  const count = EXPERTS * out * inputs
  return {
    blocks: { dtype: 'U8', shape: [EXPERTS, out, inputs / 32, 16], bytes: Uint8Array.from({ length: count / 2 }, () => random.bits() & 255) },
    scales: { dtype: 'U8', shape: [EXPERTS, out, inputs / 32], bytes: Uint8Array.from({ length: count / 32 }, () => 110 + (random.bits() % 20)) },
  }
}

function writeGptOss(parent: string): { folder: string; tensors: Record<string, PlainTensor> } {
  const gateUp = stacked(1, 2 * INNER, HIDDEN)
  const down = stacked(2, HIDDEN, INNER)
  const shapes: Record<string, readonly number[]> = {
    ...{ 'lm_head.weight': [40, HIDDEN], 'model.embed_tokens.weight': [40, HIDDEN], 'model.norm.weight': [HIDDEN] },
    ...{ [`${LAYER}.input_layernorm.weight`]: [HIDDEN], [`${LAYER}.post_attention_layernorm.weight`]: [HIDDEN], [`${LAYER}.self_attn.sinks`]: [2] },
    ...{ [`${LAYER}.self_attn.q_proj.weight`]: [64, HIDDEN], [`${LAYER}.self_attn.q_proj.bias`]: [64] },
    ...{ [`${LAYER}.self_attn.k_proj.weight`]: [32, HIDDEN], [`${LAYER}.self_attn.k_proj.bias`]: [32] },
    ...{ [`${LAYER}.self_attn.v_proj.weight`]: [32, HIDDEN], [`${LAYER}.self_attn.v_proj.bias`]: [32] },
    ...{ [`${LAYER}.self_attn.o_proj.weight`]: [HIDDEN, 64], [`${LAYER}.self_attn.o_proj.bias`]: [HIDDEN] },
    ...{ [`${LAYER}.mlp.router.weight`]: [EXPERTS, HIDDEN], [`${LAYER}.mlp.router.bias`]: [EXPERTS] },
    ...{ [`${LAYER}.mlp.experts.gate_up_proj_bias`]: [EXPERTS, 2 * INNER], [`${LAYER}.mlp.experts.down_proj_bias`]: [EXPERTS, HIDDEN] },
  }
  const tensors: Record<string, PlainTensor> = Object.fromEntries(Object.entries(shapes).map(([name, shape], i) => [name, seededTensor(i + 1, 'BF16', shape)]))
  Object.assign(tensors, {
    [`${LAYER}.mlp.experts.gate_up_proj_blocks`]: gateUp.blocks,
    [`${LAYER}.mlp.experts.gate_up_proj_scales`]: gateUp.scales,
    [`${LAYER}.mlp.experts.down_proj_blocks`]: down.blocks,
    [`${LAYER}.mlp.experts.down_proj_scales`]: down.scales,
  })
  const folder = writeWeights(join(parent, 'gpt-oss-tiny'), { 'model.safetensors': tensors })
  writeSideFiles(folder, {
    'config.json': {
      ...{ architectures: ['GptOssForCausalLM'], model_type: 'gpt_oss', dtype: 'bfloat16', hidden_size: HIDDEN, intermediate_size: INNER, head_dim: 32 },
      ...{ num_hidden_layers: 1, num_attention_heads: 2, num_key_value_heads: 1, num_local_experts: EXPERTS, num_experts_per_tok: 2, vocab_size: 40 },
      ...{ max_position_embeddings: 128, sliding_window: 16, rms_norm_eps: 1e-5, tie_word_embeddings: false, rope_theta: 150000 },
      quantization_config: { quant_method: 'mxfp4' },
    },
  })
  return { folder, tensors }
}

/** The code of element (expert, row, column). */
function codeAt({ bytes }: PlainTensor, index: number): number {
  return (bytes[index >> 1]! >> ((index & 1) * 4)) & 15
}

/** One row as GGUF has it: a scale, then elements i and i + 16 of each block in byte i. */
function ggufRow(blocks: PlainTensor, scales: PlainTensor, row: number, inputs: number): number[] {
  return Array.from({ length: inputs / 32 }, (_, block) => {
    const at = row * inputs + block * 32
    return [scales.bytes[at / 32]!, ...Array.from({ length: 16 }, (_, i) => codeAt(blocks, at + i) | (codeAt(blocks, at + i + 16) << 4))]
  }).flat()
}

const NO_TOKENIZER = { noVocab: true, modelfile: false } as const

describe('experts of MXFP4', () => {
  for (const tileElements of [undefined, 100]) {
    it(`go into a GGUF as they are, in tiles of ${tileElements ?? 'the usual size'}`, async (t) => {
      const parent = workspace(t, 'mxfp4')
      const { folder, tensors } = writeGptOss(parent)
      const outfile = join(parent, 'out.gguf')
      await execute(await planGguf({ model: folder, outtype: 'f16', outfile, tileElements, ...NO_TOKENIZER }))
      const file = await readGguf(outfile)
      assert.deepEqual(
        file.tensors.slice(0, 3).map(({ name, type, shape }) => [name, type, ...shape]),
        [
          ['blk.0.ffn_down_exps.weight', 'mxfp4', EXPERTS, HIDDEN, INNER],
          ['blk.0.ffn_gate_exps.weight', 'mxfp4', EXPERTS, INNER, HIDDEN],
          ['blk.0.ffn_up_exps.weight', 'mxfp4', EXPERTS, INNER, HIDDEN],
        ],
      )
      const part = (name: string): [PlainTensor, PlainTensor] => [
        tensors[`${LAYER}.mlp.experts.${name}_blocks`]!,
        tensors[`${LAYER}.mlp.experts.${name}_scales`]!,
      ]
      const rows = (count: number, rowOf: (i: number) => number, name: string, inputs: number): Uint8Array =>
        Uint8Array.from(Array.from({ length: count }, (_, i) => ggufRow(...part(name), rowOf(i), inputs)).flat())
      assert.deepEqual(
        new Uint8Array(file.tensor('blk.0.ffn_down_exps.weight').bytes),
        rows(EXPERTS * HIDDEN, (i) => i, 'down_proj', INNER),
      )
      assert.deepEqual(
        new Uint8Array(file.tensor('blk.0.ffn_gate_exps.weight').bytes),
        rows(EXPERTS * INNER, (i) => 2 * i, 'gate_up_proj', HIDDEN),
      )
      assert.deepEqual(
        new Uint8Array(file.tensor('blk.0.ffn_up_exps.weight').bytes),
        rows(EXPERTS * INNER, (i) => 2 * i + 1, 'gate_up_proj', HIDDEN),
      )
    })
  }

  it('make the file one of MXFP4_MOE, but for q8_0, and keep their blocks when its type is mxfp4', async (t) => {
    const parent = workspace(t, 'mxfp4-type')
    const { folder } = writeGptOss(parent)
    const fileTypes = { f32: 38, f16: 38, bf16: 38, auto: 38, q8_0: 7, mxfp4: 38 } as const
    for (const [outtype, id] of Object.entries(fileTypes)) {
      const plan = await planGguf({ model: folder, outtype: outtype as keyof typeof fileTypes, outfile: join(parent, '{ftype}.gguf'), ...NO_TOKENIZER })
      assert.deepEqual(plan.keyValues.find(({ key }) => key === 'general.file_type')?.value, { type: 'u32', value: id }, outtype)
      assert.equal(plan.target, id === 38 ? 'mxfp4_moe.gguf' : 'q8_0.gguf')
      const experts = plan.tensors.filter(({ name }) => name.endsWith('_exps.weight'))
      assert.ok(experts.length === 3 && experts.every(({ program }) => program.kind === 'rows' && program.moves === true), outtype)
    }
  })

  it('stay so when an adapter changes other tensors, in a merged folder and in a GGUF alike', async (t) => {
    const parent = workspace(t, 'mxfp4-adapter')
    const { folder, tensors } = writeGptOss(parent)
    const adapters = [{ path: writeAdapter(join(parent, 'adapter'), { modules: { [`${LAYER}.self_attn.q_proj`]: [64, HIDDEN] } }) }]
    const [merged, one, two] = [join(parent, 'merged'), join(parent, '1', 'out.gguf'), join(parent, '2', 'out.gguf')]
    await execute(await planMerge({ base: folder, adapters, out: merged, dtype: 'F32' }))
    const blocks = `${LAYER}.mlp.experts.down_proj_blocks`
    assert.deepEqual(readSafetensors(merged).get(blocks)?.bytes, tensors[blocks]?.bytes)
    await execute(await planGguf({ model: merged, outtype: 'f32', outfile: one, modelName: 'M', ...NO_TOKENIZER }))
    await execute(await planGguf({ model: folder, adapters, outtype: 'f32', outfile: two, modelName: 'M', ...NO_TOKENIZER }))
    assert.ok(readFileSync(one).equals(readFileSync(two)))
  })

  it('are read as numbers when asked to: (experts, in, out), in which adapters know them', async (t) => {
    const parent = workspace(t, 'mxfp4-plain')
    const { folder, tensors } = writeGptOss(parent)
    const adapters = [{ path: writeAdapter(join(parent, 'adapter'), { modules: { lm_head: [40, HIDDEN] } }) }]
    const out = join(parent, 'merged')
    await execute(await planMerge({ base: folder, adapters, out, dtype: 'F32', dequantizeBase: true }))
    const plain = readSafetensors(out).get(`${LAYER}.mlp.experts.gate_up_proj`)
    assert.deepEqual(plain?.shape, [EXPERTS, HIDDEN, 2 * INNER])
    const values = valuesOf(plain)
    const [blocks, scales] = [tensors[`${LAYER}.mlp.experts.gate_up_proj_blocks`]!, tensors[`${LAYER}.mlp.experts.gate_up_proj_scales`]!]
    for (let at = 0; at < values.length; at++) {
      const [expert, input, row] = [Math.floor(at / (HIDDEN * 2 * INNER)), Math.floor(at / (2 * INNER)) % HIDDEN, at % (2 * INNER)]
      const stored = (expert * 2 * INNER + row) * HIDDEN + input
      assert.equal(values[at], E2M1[codeAt(blocks, stored)]! * 2 ** (scales.bytes[stored >> 5]! - 127), `element ${at}`)
    }
  })

  it('are recognised through transposes and ranges, and not once something is computed', () => {
    const { blocks, scales } = stacked(5, HIDDEN, INNER)
    const tensors = [memoryTensor('x_blocks', 'U8', blocks.shape, blocks.bytes), memoryTensor('x_scales', 'U8', scales.shape, scales.bytes)].map(
      (tensor) => [tensor.name, tensor] as const,
    )
    const [logical] = readMxfp4(new Checkpoint(new Map(tensors), () => Promise.resolve(new Map()), new Map(), 'config.json', new Map()))
    assert.ok(logical)
    assert.equal(movesMxfp4(logical.program), false) // transposed: rows are no stored rows
    const second = transpose(rowRange(logical.program, INNER, INNER))
    assert.deepEqual(programShape(second), { rows: HIDDEN, cols: INNER })
    assert.equal(movesMxfp4(second), true)
    assert.equal(movesMxfp4({ op: 'scale', input: second, factor: 2 }), false)
  })
})
