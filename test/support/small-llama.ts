/** A llama of about 150,000 seeded weights with rows of 256, 128 and 32 elements, so that every type is used and every fallback taken. */
import { join } from 'node:path'
import { seededTensor, writeSideFiles, writeWeights, type Float } from './tiny-models.js'
import type { PlainTensor } from './plain-tensors.js'

const CONFIG = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  hidden_size: 256,
  intermediate_size: 32,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 32,
  max_position_embeddings: 128,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  vocab_size: 48,
  tie_word_embeddings: false,
}

const LAYER: Readonly<Record<string, readonly number[]>> = {
  'self_attn.q_proj': [128, 256],
  'self_attn.k_proj': [64, 256],
  'self_attn.v_proj': [64, 256],
  'self_attn.o_proj': [256, 128],
  'mlp.gate_proj': [32, 256],
  'mlp.up_proj': [32, 256],
  'mlp.down_proj': [256, 32],
  input_layernorm: [256],
  post_attention_layernorm: [256],
}

/** Module paths of a layer's matrices -> [out, in]: what adapters can be made for. */
export function smallLlamaModules(layer: number, ...names: readonly string[]): Record<string, [number, number]> {
  const found = Object.entries(LAYER).filter(([name]) => names.some((wanted) => name.endsWith(wanted)))
  return Object.fromEntries(found.map(([name, [rows = 0, cols = 0]]) => [`model.layers.${layer}.${name}`, [rows, cols]]))
}

/**
 * Writes the model, without a tokenizer: it converts with --no-vocab.
 * @param dtypeOf  dtype of each tensor, by its name
 * @returns the folder
 */
export function writeSmallLlama(parent: string, dtypeOf: (name: string) => Float, name = 'small-llama'): string {
  const shapes: [string, readonly number[]][] = [
    ['model.embed_tokens.weight', [CONFIG.vocab_size, 256]],
    ...[0, 1].flatMap((layer) =>
      Object.entries(LAYER).map(([module, shape]): [string, readonly number[]] => [`model.layers.${layer}.${module}.weight`, shape]),
    ),
    ['model.norm.weight', [256]],
    ['lm_head.weight', [CONFIG.vocab_size, 256]],
  ]
  const tensors: Record<string, PlainTensor> = {}
  shapes.forEach(([tensor, shape], i) => (tensors[tensor] = seededTensor(i + 1, dtypeOf(tensor), shape)))
  const folder = writeWeights(join(parent, name), { 'model.safetensors': tensors })
  return writeSideFiles(folder, { 'config.json': CONFIG })
}
