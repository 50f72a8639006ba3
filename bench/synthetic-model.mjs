/**
 * A Llama-shaped bf16 model and a rank-16 adapter on all its linears, written as streams: seeded, made up, of the size asked for. It has no tokenizer.
 */
import { closeSync, createWriteStream, existsSync, ftruncateSync, mkdirSync, openSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { finished } from 'node:stream/promises'

const RANK = 16
const VOCABULARY = 32000

/**
 * Parameters in billions -> dimensions, as in Llama 3 and a model of a quarter of its smallest. The weights of the large ones are holes in a sparse
 * file, all zeros: for memory and the flow of data it is the same, and it takes no room. Of these only some layers are made, unless all are asked for.
 */
export const SHAPES = {
  0.25: { layers: 14, hidden: 1024, intermediate: 4096, heads: 16, keyValueHeads: 4 },
  1: { layers: 16, hidden: 2048, intermediate: 8192, heads: 32, keyValueHeads: 8 },
  8: { layers: 32, hidden: 4096, intermediate: 14336, heads: 32, keyValueHeads: 8, sparse: true },
  70: { layers: 80, hidden: 8192, intermediate: 28672, heads: 64, keyValueHeads: 8, sparse: true },
}

const ADAPTER_CONFIG = { peft_type: 'LORA', task_type: 'CAUSAL_LM', r: RANK, lora_alpha: 2 * RANK, target_modules: 'all-linear', bias: 'none' }

/**
 * Makes base and adapter in a folder of `place`, unless an earlier run left them there.
 *
 * @param size    a key of SHAPES
 * @param layers  of a sparse model, at most
 * @returns {Promise<{ folder: string, base: string, adapter: string, weights: string, bytes: number, layers: string }>} paths, the size of the base's
 *   weights, and the layers made of those that the shape has
 */
export async function makeModel(place, size, layers) {
  const whole = SHAPES[size]
  const shape = { ...whole, layers: whole.sparse ? Math.min(layers, whole.layers) : whole.layers }
  const folder = join(place, `${size}b-${shape.layers}`)
  const model = { folder, base: join(folder, 'base'), adapter: join(folder, 'adapter'), weights: join(folder, 'base', 'model.safetensors') }
  const done = join(folder, 'done')
  if (!existsSync(done)) {
    process.stderr.write(`making a model of ${size} billion parameters in bench-out/ ...\n`)
    rmSync(folder, { recursive: true, force: true })
    for (const path of [model.base, model.adapter]) mkdirSync(path, { recursive: true })
    writeFileSync(join(model.base, 'config.json'), JSON.stringify(configOf(shape)))
    await writeSafetensors(model.weights, 'BF16', baseTensors(shape), 1, shape.sparse)
    writeFileSync(join(model.adapter, 'adapter_config.json'), JSON.stringify(ADAPTER_CONFIG))
    await writeSafetensors(join(model.adapter, 'adapter_model.safetensors'), 'F32', adapterTensors(shape), 2)
    writeFileSync(done, '')
  }
  return { ...model, bytes: statSync(model.weights).size, layers: `${shape.layers} of ${whole.layers}` }
}

function configOf({ layers, hidden, intermediate, heads, keyValueHeads }) {
  return {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    hidden_size: hidden,
    intermediate_size: intermediate,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: keyValueHeads,
    head_dim: hidden / heads,
    vocab_size: VOCABULARY,
    max_position_embeddings: 4096,
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
    tie_word_embeddings: true,
    dtype: 'bfloat16',
  }
}

/**
 * The linears of a layer: name and shape (rows x columns).
 * @returns {[string, [number, number]][]}
 */
function linears({ hidden, intermediate, heads, keyValueHeads }) {
  const keyValue = (hidden / heads) * keyValueHeads
  return [
    ['self_attn.q_proj', [hidden, hidden]],
    ['self_attn.k_proj', [keyValue, hidden]],
    ['self_attn.v_proj', [keyValue, hidden]],
    ['self_attn.o_proj', [hidden, hidden]],
    ['mlp.gate_proj', [intermediate, hidden]],
    ['mlp.up_proj', [intermediate, hidden]],
    ['mlp.down_proj', [hidden, intermediate]],
  ]
}

function baseTensors(shape) {
  const blocks = Array.from({ length: shape.layers }, (_, i) => [
    ...['input_layernorm', 'post_attention_layernorm'].map((name) => [`model.layers.${i}.${name}.weight`, [shape.hidden]]),
    ...linears(shape).map(([name, size]) => [`model.layers.${i}.${name}.weight`, size]),
  ])
  return [['model.embed_tokens.weight', [VOCABULARY, shape.hidden]], ...blocks.flat(), ['model.norm.weight', [shape.hidden]]]
}

function adapterTensors(shape) {
  return Array.from({ length: shape.layers }, (_, i) =>
    linears(shape).flatMap(([name, [rows, columns]]) => [
      [`base_model.model.model.layers.${i}.${name}.lora_A.weight`, [RANK, columns]],
      [`base_model.model.model.layers.${i}.${name}.lora_B.weight`, [rows, RANK]],
    ]),
  ).flat()
}

/** Streams a safetensors file: the header, then pseudo-random values of about a weight's size, cut from one block at moving places. */
async function writeSafetensors(path, dtype, tensors, seed, sparse = false) {
  const elementBytes = dtype === 'BF16' ? 2 : 4
  let offset = 0
  const entries = tensors.map(([name, shape]) => {
    const begin = offset
    offset += shape.reduce((product, dimension) => product * dimension, elementBytes)
    return [name, { dtype, shape, data_offsets: [begin, offset] }]
  })
  const header = Buffer.from(JSON.stringify({ __metadata__: { format: 'pt' }, ...Object.fromEntries(entries) }))
  const padded = Buffer.concat([header, Buffer.alloc((8 - (header.length % 8)) % 8, 0x20)])
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(padded.length))
  if (sparse) {
    const handle = openSync(path, 'w')
    writeSync(handle, Buffer.concat([length, padded]))
    ftruncateSync(handle, length.length + padded.length + offset)
    return closeSync(handle)
  }
  const file = createWriteStream(path)
  file.write(length)
  file.write(padded)
  const block = randomBlock(dtype, seed)
  for (let left = offset, chunk = 0; left > 0; chunk++) {
    const start = ((chunk * 40_503) % 65_536) * 4 // moves, so that chunks differ; stays aligned
    const bytes = block.subarray(start, start + Math.min(left, block.length - start))
    if (!file.write(bytes)) await new Promise((resolve) => file.once('drain', resolve))
    left -= bytes.length
  }
  file.end()
  await finished(file)
}

/** 4 MB of values of either sign, spread over |x| < 0.06 as weights are: the sum of four uniform numbers, from a 32-bit xorshift. */
function randomBlock(dtype, seed) {
  let state = (seed * 2_654_435_761) >>> 0
  const uniform = () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 32 - 0.5
  }
  const floats = Float32Array.from({ length: dtype === 'BF16' ? 2 ** 21 : 2 ** 20 }, () => 0.03 * (uniform() + uniform() + uniform() + uniform()))
  if (dtype === 'F32') return Buffer.from(floats.buffer)
  return Buffer.from(new Uint16Array(floats.length).map((_, i) => new Uint32Array(floats.buffer, 4 * i, 1)[0] >>> 16).buffer)
}
