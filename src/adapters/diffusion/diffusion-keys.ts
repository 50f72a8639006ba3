/**
 * THE table of how sd-scripts (kohya), LyCORIS and diffusers spell the tensors of an adapter: which model of a pipeline, which
 * module, and what the tensor is to it. Nobody else looks at these keys.
 *
 *   lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight        kohya, LyCORIS: dots of the path are `_`
 *   unet.down_blocks.0.attentions.0.proj_in.lora_A.weight                diffusers since 0.20 (names of PEFT)
 *   unet.down_blocks.0.attentions.0.….attn1.processor.to_q_lora.up.weight  diffusers before it
 *   double_blocks.0.processor.qkv_lora1.up.weight                        XLabs
 *
 * Law: sd-scripts networks/lora.py `LoRANetwork` (names), LyCORIS 4.1 modules/*.py `weight_list`, diffusers 0.42
 * utils/state_dict_utils.py.
 */

import { OF_DENOISERS } from './parts.js'

/** What a tensor is to its module, beside the roles that PEFT has too. */
export type DiffusionRole =
  | ('A' | 'B' | 'mid' | 'alpha' | 'magnitude' | 'doraScale' | 'trainedBias')
  | ('hada1A' | 'hada1B' | 'hada2A' | 'hada2B' | 'hada1T' | 'hada2T')
  | ('lokr1' | 'lokr1A' | 'lokr1B' | 'lokr2' | 'lokr2A' | 'lokr2B' | 'lokr2T')
  | ('gloraA1' | 'gloraA2' | 'gloraB1' | 'gloraB2' | 'gloraBM')
  | ('difference' | 'biasDifference' | 'normDifference' | 'normBiasDifference')
  | ('modulation' | 'onInput' | 'oftBlocks' | 'oftBlocks1' | 'oftBlocks2' | 'oftBlocks3' | 'rescale' | 'restPositions' | 'restValues' | 'restSize')

/** A key taken apart. */
export interface DiffusionKey {
  /** Undefined when the key does not say. */
  readonly component: string | undefined
  readonly module: string
  readonly isFlattened: boolean
  readonly role: DiffusionRole
}

/** Beginnings of kohya's and LyCORIS' keys -> model of the pipeline. */
const FLAT_PREFIXES: readonly (readonly [string, string | undefined])[] = [
  ['lora_unet_', 'unet'],
  ['lora_te_', 'text_encoder'],
  ['lora_te1_', 'text_encoder'],
  ['lora_te2_', 'text_encoder_2'],
  ['lora_te3_', 'text_encoder_3'],
  ['lora_transformer_', 'transformer'],
  ['lora_prior_unet_', 'prior'], // Stable Cascade
  ['lora_prior_te_', 'text_encoder'],
  ['oft_unet_', 'unet'],
  ['lycoris_', undefined],
]

/** Beginnings of keys that keep their dots. */
const DOTTED_PREFIXES: readonly (readonly [string, string | undefined])[] = [
  ...['unet', 'transformer', 'transformer_2', 'text_encoder', 'text_encoder_2', 'text_encoder_3'].map((name) => [`${name}.`, name] as const),
  ['text_encoders.clip_l.transformer.', 'text_encoder'], // ComfyUI
  ['text_encoders.clip_g.transformer.', 'text_encoder_2'],
  ['text_encoders.t5xxl.transformer.', 'text_encoder_3'],
  ['model.diffusion_model.', 'unet'],
  ['diffusion_model.', 'unet'],
  ['base_model.model.', undefined],
]

/** `marker/rest` of a key's end -> role. A marker is one component of the key; `*_lora` is one that carries the module's last component. */
const TAILS: ReadonlyMap<string, DiffusionRole> = new Map<string, DiffusionRole>([
  ['lora_down/weight', 'A'],
  ['lora_up/weight', 'B'],
  ['lora_mid/weight', 'mid'],
  ['lora_A/weight', 'A'],
  ['lora_B/weight', 'B'],
  ['lora_B/bias', 'trainedBias'],
  ['lora_magnitude_vector/', 'magnitude'],
  ['lora_magnitude_vector/weight', 'magnitude'],
  ['lora/down.weight', 'A'],
  ['lora/up.weight', 'B'],
  ['lora_linear_layer/down.weight', 'A'],
  ['lora_linear_layer/up.weight', 'B'],
  ['*_lora/down.weight', 'A'],
  ['*_lora/up.weight', 'B'],
  ['alpha/', 'alpha'],
  ['dora_scale/', 'doraScale'],
  ['hada_w1_a/', 'hada1A'],
  ['hada_w1_b/', 'hada1B'],
  ['hada_w2_a/', 'hada2A'],
  ['hada_w2_b/', 'hada2B'],
  ['hada_t1/', 'hada1T'],
  ['hada_t2/', 'hada2T'],
  ['lokr_w1/', 'lokr1'],
  ['lokr_w1_a/', 'lokr1A'],
  ['lokr_w1_b/', 'lokr1B'],
  ['lokr_w2/', 'lokr2'],
  ['lokr_w2_a/', 'lokr2A'],
  ['lokr_w2_b/', 'lokr2B'],
  ['lokr_t2/', 'lokr2T'],
  ['a1/weight', 'gloraA1'],
  ['a2/weight', 'gloraA2'],
  ['b1/weight', 'gloraB1'],
  ['b2/weight', 'gloraB2'],
  ['bm/weight', 'gloraBM'],
  ['diff/', 'difference'],
  ['diff_b/', 'biasDifference'],
  ['w_norm/', 'normDifference'],
  ['b_norm/', 'normBiasDifference'],
  ['on_input/', 'onInput'],
  ['oft_blocks/', 'oftBlocks'],
  ...(['oftBlocks', 'oftBlocks1', 'oftBlocks2', 'oftBlocks3'] as const).map((role, i) => [`oft_blocks/${i}`, role] as const), // of FLUX, one for each part of a fused matrix
  ['rescale/', 'rescale'],
  ['bias_indices/', 'restPositions'], // not of a bias: what an extraction left out of the weight, sparse
  ['bias_values/', 'restValues'],
  ['bias_size/', 'restSize'],
])
const MARKERS: ReadonlySet<string> = new Set([...TAILS.keys()].map((key) => key.slice(0, key.indexOf('/'))))
/** A component that carries the last one of the module; XLabs has one for each stream of a block, numbered. */
const ENDS_MODULE = /_lora([12]?)$/
/** Markers after which PEFT may put the adapter's name. */
const NAMED_MARKERS: ReadonlySet<string> = new Set(['lora_A', 'lora_B', 'lora_magnitude_vector'])

/** Old names of attention's parts: in processors of a UNet, and in CLIP's text models. */
const UNET_PARTS: ReadonlyMap<string, string> = new Map([['to_out', 'to_out.0']])
const CLIP_PARTS: ReadonlyMap<string, string> = new Map([
  ['to_q', 'q_proj'],
  ['to_k', 'k_proj'],
  ['to_v', 'v_proj'],
  ['to_out', 'out_proj'],
])

/** Takes a key apart; undefined when no row describes it. */
export function splitDiffusionKey(key: string): DiffusionKey | undefined {
  const parts = key.split('.')
  const at = parts.findLastIndex((part, i) => i > 0 && (MARKERS.has(part) || ENDS_MODULE.test(part)))
  if (at < 0) return startsFlat(key) ? modulationKey(parts) : undefined
  const marker = parts[at] ?? ''
  const role = roleOf(marker, parts.slice(at + 1))
  if (role === undefined) return undefined
  const path = parts.slice(0, at).join('.')
  return { ...placeOf(path, MARKERS.has(marker) ? undefined : marker.replace(ENDS_MODULE, '$1')), role }
}

/** Spellings that no other format of adapters has, wherever they stand. */
const OWN_SPELLINGS = /\.(?:lora_down|lora_up|lora\.down|lora\.up|lora_linear_layer|hada_w1_a|lokr_w[12](?:_a)?|oft_blocks)\b|_lora\.(?:up|down)\.weight$/

const OF_KOHYA: ReadonlySet<DiffusionRole> = new Set<DiffusionRole>(['A', 'B', 'alpha'])

/** Whether a key is spelled as LyCORIS alone does. */
export function isLycorisKey(key: string): boolean {
  const split = splitDiffusionKey(key)
  return split?.isFlattened === true && (key.startsWith('lycoris_') || !OF_KOHYA.has(split.role))
}

/** Whether a file with these keys is sd-scripts': dots of paths are `_`. */
export function looksLikeKohya(keys: readonly string[]): boolean {
  return keys.some((key) => splitDiffusionKey(key)?.isFlattened === true)
}

/** Whether a file with these keys is an adapter of a pipeline: some key is spelled as only these formats spell it. */
export function looksLikeDiffusion(keys: readonly string[]): boolean {
  return keys.some((key) => {
    if (key.startsWith('base_model.model.')) return false // PEFT, whose config is missing
    if (startsFlat(key)) return true // also where the rest is unknown, so that it is refused by name
    const split = splitDiffusionKey(key)
    return split !== undefined && (split.component !== undefined || split.isFlattened || OWN_SPELLINGS.test(key) || OF_DENOISERS.test(key))
  })
}

function startsFlat(key: string): boolean {
  return FLAT_PREFIXES.some(([prefix]) => key.startsWith(prefix))
}

function roleOf(marker: string, rest: readonly string[]): DiffusionRole | undefined {
  const kind = MARKERS.has(marker) ? marker : '*_lora'
  const exact = TAILS.get(`${kind}/${rest.join('.')}`)
  if (exact !== undefined || !NAMED_MARKERS.has(marker) || rest.length === 0) return exact
  return TAILS.get(`${marker}/${rest.slice(1).join('.')}`)
}

/** LyCORIS' IA³ calls its vector `weight`, as any layer would. */
function modulationKey(parts: readonly string[]): DiffusionKey | undefined {
  const [path, tail] = parts
  return parts.length === 2 && path !== undefined && tail === 'weight' ? { ...placeOf(path, undefined), role: 'modulation' } : undefined
}

function placeOf(path: string, last: string | undefined): Omit<DiffusionKey, 'role'> {
  if (!path.includes('.')) {
    const flat = FLAT_PREFIXES.find(([prefix]) => path.startsWith(prefix))
    if (flat !== undefined) return { component: flat[1], module: path.slice(flat[0].length), isFlattened: true }
  }
  const dotted = DOTTED_PREFIXES.find(([prefix]) => path.startsWith(prefix))
  const plain = (dotted === undefined ? path : path.slice(dotted[0].length)).split('.').filter((part) => part !== 'processor')
  if (last !== undefined) plain.push((plain.includes('self_attn') ? CLIP_PARTS : UNET_PARTS).get(last) ?? last)
  return { component: dotted?.[1], module: plain.join('.'), isFlattened: false }
}
