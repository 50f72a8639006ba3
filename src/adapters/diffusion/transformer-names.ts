/**
 * THE table of the two names of modules of FLUX, FLUX.2, Stable Diffusion 3, Wan and Z-Image: those of their original checkpoints (double_blocks, joint_blocks), which
 * sd-scripts and ComfyUI use, and those of diffusers (transformer_blocks). Originals keep query, key, value and more in one matrix, the rows of one
 * after those of the other; diffusers keeps them apart. The last modulation has shift before scale there, scale before shift here.
 *
 * Law: diffusers 0.42 loaders/single_file_utils.py `convert_{flux,flux2,sd3,z_image}_transformer_checkpoint_to_diffusers`,
 * `convert_wan_transformer_to_diffusers`; for XLabs' names
 * loaders/lora_conversion_utils.py `_convert_xlabs_flux_lora_to_diffusers`. Chroma and HunyuanVideo share what they have of FLUX.
 */
import type { TensorInfo } from '../../core/tensor-info.js'
import type { ModulePiece, RowRange } from './module-places.js'

interface NameRow {
  /** `#` is a number of a block. */
  readonly original: string
  /** Several: parts of the original's matrix, all but the last with as many rows as it has columns. */
  readonly diffusers: string | readonly string[]
  /** Two halves, where it has two outputs for each input, lie in the other order. */
  readonly swaps?: true
  /** Another name of the original, and, of the first so many of its parts together, one. */
  readonly alias?: string
  readonly aliasOfFirst?: { readonly name: string; readonly parts: number }
}

interface Family {
  /** Modules of which it has all of one line, and others have not. */
  readonly marks: readonly (readonly string[])[]
  readonly rows: readonly NameRow[]
}

const QKV = ['to_q', 'to_k', 'to_v']
const ADDED_QKV = ['add_q_proj', 'add_k_proj', 'add_v_proj']
const under = (path: string, names: readonly string[]): string[] => names.map((name) => `${path}.${name}`)

/** One stream of a double block: image or text. */
const doubleStream = (stream: 'img' | 'txt', number: 1 | 2, parts: readonly string[], out: string): NameRow[] => [
  { original: `double_blocks.#.${stream}_attn.qkv`, diffusers: under('transformer_blocks.#.attn', parts), alias: `double_blocks.#.qkv${number}` },
  { original: `double_blocks.#.${stream}_attn.proj`, diffusers: `transformer_blocks.#.attn.${out}`, alias: `double_blocks.#.proj${number}` },
]
const DOUBLE_ATTENTION: readonly NameRow[] = [...doubleStream('img', 1, QKV, 'to_out.0'), ...doubleStream('txt', 2, ADDED_QKV, 'to_add_out')]

/** Two linear layers of an embedder, which families number and name otherwise. */
const embedder = (first: string, second: string, diffusers: string): NameRow[] => [
  { original: first, diffusers: `${diffusers}.linear_1` },
  { original: second, diffusers: `${diffusers}.linear_2` },
]
const fluxEmbedder = (original: string, diffusers: string): NameRow[] => embedder(`${original}.in_layer`, `${original}.out_layer`, diffusers)
/** Both layers of the feed-forward part of each stream, by diffusers' names for them. */
const fluxFeedForward = (first: string, second: string): NameRow[] =>
  (
    [
      ['img_mlp', 'ff'],
      ['txt_mlp', 'ff_context'],
    ] as const
  ).flatMap(([original, diffusers]) => [
    { original: `double_blocks.#.${original}.0`, diffusers: `transformer_blocks.#.${diffusers}.${first}` },
    { original: `double_blocks.#.${original}.2`, diffusers: `transformer_blocks.#.${diffusers}.${second}` },
  ])
const FLUX_ENDS: readonly NameRow[] = [
  { original: 'img_in', diffusers: 'x_embedder' },
  { original: 'txt_in', diffusers: 'context_embedder' },
  { original: 'final_layer.linear', diffusers: 'proj_out' },
  { original: 'final_layer.adaLN_modulation.1', diffusers: 'norm_out.linear', swaps: true },
]

const FLUX: Family = {
  marks: [['single_transformer_blocks.0.proj_mlp'], ['single_blocks.0.linear1']],
  rows: [
    ...FLUX_ENDS,
    ...fluxEmbedder('time_in', 'time_text_embed.timestep_embedder'),
    ...fluxEmbedder('vector_in', 'time_text_embed.text_embedder'),
    ...fluxEmbedder('guidance_in', 'time_text_embed.guidance_embedder'),
    ...DOUBLE_ATTENTION,
    ...fluxFeedForward('net.0.proj', 'net.2'),
    { original: 'double_blocks.#.img_mod.lin', diffusers: 'transformer_blocks.#.norm1.linear' },
    { original: 'double_blocks.#.txt_mod.lin', diffusers: 'transformer_blocks.#.norm1_context.linear' },
    {
      original: 'single_blocks.#.linear1',
      diffusers: [...under('single_transformer_blocks.#.attn', QKV), 'single_transformer_blocks.#.proj_mlp'],
      aliasOfFirst: { name: 'single_blocks.#.qkv', parts: 3 },
    },
    { original: 'single_blocks.#.linear2', diffusers: 'single_transformer_blocks.#.proj_out', alias: 'single_blocks.#.proj' },
    { original: 'single_blocks.#.modulation.lin', diffusers: 'single_transformer_blocks.#.norm.linear' },
  ],
}

const FLUX_2: Family = {
  marks: [['single_transformer_blocks.0.attn.to_qkv_mlp_proj'], ['single_blocks.0.linear1', 'single_stream_modulation.lin']],
  rows: [
    ...FLUX_ENDS,
    ...fluxEmbedder('time_in', 'time_guidance_embed.timestep_embedder'),
    ...fluxEmbedder('guidance_in', 'time_guidance_embed.guidance_embedder'),
    ...['double_stream_modulation_img', 'double_stream_modulation_txt', 'single_stream_modulation'].map((name): NameRow => ({
      original: `${name}.lin`,
      diffusers: `${name}.linear`,
    })),
    ...DOUBLE_ATTENTION,
    ...fluxFeedForward('linear_in', 'linear_out'),
    { original: 'single_blocks.#.linear1', diffusers: 'single_transformer_blocks.#.attn.to_qkv_mlp_proj' },
    { original: 'single_blocks.#.linear2', diffusers: 'single_transformer_blocks.#.attn.to_out' },
  ],
}

/** One stream of a joint block. Of the last one, the context has two modulations, in the order of the last layer. */
const jointStream = (stream: 'x' | 'context', parts: readonly string[], names: { out: string; norm: string; ff: string }): NameRow[] => [
  { original: `joint_blocks.#.${stream}_block.attn.qkv`, diffusers: under('transformer_blocks.#.attn', parts) },
  { original: `joint_blocks.#.${stream}_block.attn.proj`, diffusers: `transformer_blocks.#.attn.${names.out}` },
  { original: `joint_blocks.#.${stream}_block.mlp.fc1`, diffusers: `transformer_blocks.#.${names.ff}.net.0.proj` },
  { original: `joint_blocks.#.${stream}_block.mlp.fc2`, diffusers: `transformer_blocks.#.${names.ff}.net.2` },
  { original: `joint_blocks.#.${stream}_block.adaLN_modulation.1`, diffusers: `transformer_blocks.#.${names.norm}.linear`, swaps: true },
]

const SD_3: Family = {
  marks: [['joint_blocks.0.x_block.attn.qkv'], ['pos_embed.proj', 'transformer_blocks.0.attn.add_q_proj']],
  rows: [
    { original: 'x_embedder.proj', diffusers: 'pos_embed.proj' },
    ...embedder('t_embedder.mlp.0', 't_embedder.mlp.2', 'time_text_embed.timestep_embedder'),
    ...embedder('y_embedder.mlp.0', 'y_embedder.mlp.2', 'time_text_embed.text_embedder'),
    ...jointStream('x', QKV, { out: 'to_out.0', norm: 'norm1', ff: 'ff' }),
    ...jointStream('context', ADDED_QKV, { out: 'to_add_out', norm: 'norm1_context', ff: 'ff_context' }),
    { original: 'joint_blocks.#.x_block.attn2.qkv', diffusers: under('transformer_blocks.#.attn2', QKV) },
    { original: 'joint_blocks.#.x_block.attn2.proj', diffusers: 'transformer_blocks.#.attn2.to_out.0' },
    { original: 'final_layer.linear', diffusers: 'proj_out' },
    { original: 'final_layer.adaLN_modulation.1', diffusers: 'norm_out.linear', swaps: true },
  ],
}

/** An attention of Wan; the image's keys and values are those of its image-to-video models. */
const wanAttention = (original: string, diffusers: string): NameRow[] =>
  [
    ['q', 'to_q'],
    ['k', 'to_k'],
    ['v', 'to_v'],
    ['o', 'to_out.0'],
    ['k_img', 'add_k_proj'],
    ['v_img', 'add_v_proj'],
    ['norm_q', 'norm_q'],
    ['norm_k', 'norm_k'],
    ['norm_k_img', 'norm_added_k'],
  ].map(([own = '', other = '']): NameRow => ({ original: `${original}.${own}`, diffusers: `${diffusers}.${other}` }))

const WAN: Family = {
  marks: [
    ['blocks.0.self_attn.q', 'time_projection.1'],
    ['blocks.0.attn1.to_q', 'condition_embedder.time_proj'],
  ],
  rows: [
    ...wanAttention('blocks.#.self_attn', 'blocks.#.attn1'),
    ...wanAttention('blocks.#.cross_attn', 'blocks.#.attn2'),
    { original: 'blocks.#.ffn.0', diffusers: 'blocks.#.ffn.net.0.proj' },
    { original: 'blocks.#.ffn.2', diffusers: 'blocks.#.ffn.net.2' },
    { original: 'blocks.#.norm3', diffusers: 'blocks.#.norm2' },
    ...embedder('time_embedding.0', 'time_embedding.2', 'condition_embedder.time_embedder'),
    ...embedder('text_embedding.0', 'text_embedding.2', 'condition_embedder.text_embedder'),
    { original: 'time_projection.1', diffusers: 'condition_embedder.time_proj' },
    { original: 'img_emb.proj.0', diffusers: 'condition_embedder.image_embedder.norm1' },
    { original: 'img_emb.proj.1', diffusers: 'condition_embedder.image_embedder.ff.net.0.proj' },
    { original: 'img_emb.proj.3', diffusers: 'condition_embedder.image_embedder.ff.net.2' },
    { original: 'img_emb.proj.4', diffusers: 'condition_embedder.image_embedder.norm2' },
    { original: 'head.head', diffusers: 'proj_out' },
  ],
}

const Z_IMAGE: Family = {
  marks: [['layers.0.attention.qkv', 'noise_refiner.0.attention.qkv'], ['layers.0.attention.to_q']],
  rows: [
    ...['layers.#', 'noise_refiner.#', 'context_refiner.#'].flatMap((block): NameRow[] => [
      { original: `${block}.attention.qkv`, diffusers: under(`${block}.attention`, QKV) },
      { original: `${block}.attention.out`, diffusers: `${block}.attention.to_out.0` },
      { original: `${block}.attention.q_norm`, diffusers: `${block}.attention.norm_q` },
      { original: `${block}.attention.k_norm`, diffusers: `${block}.attention.norm_k` },
    ]),
    { original: 'x_embedder', diffusers: 'all_x_embedder.2-1' },
    { original: 'final_layer.linear', diffusers: 'all_final_layer.2-1.linear' },
    { original: 'final_layer.adaLN_modulation.1', diffusers: 'all_final_layer.2-1.adaLN_modulation.1' },
  ],
}

/** The first one whose marks are there has the model. */
const FAMILIES: readonly Family[] = [FLUX_2, FLUX, SD_3, WAN, Z_IMAGE]

/** A module under its other name. */
export interface OtherPlace {
  readonly module: string
  readonly pieces: readonly ModulePiece[]
}

/** The other names of a model's modules, and where what they mean lies. @param tensors  by local name, in either naming */
export function otherTransformerPlaces(tensors: ReadonlyMap<string, TensorInfo>): OtherPlace[] {
  const family = FAMILIES.find(({ marks }) => marks.some((modules) => modules.every((module) => tensors.has(`${module}.weight`))))
  if (family === undefined) return []
  const numbers = new Set([...tensors.keys()].flatMap((name) => /^\w+\.(\d{1,4})\./.exec(name)?.[1] ?? []))
  return family.rows.flatMap((row) => (row.original.includes('#') ? [...numbers] : ['']).flatMap((number) => placesOf(row, number, tensors)))
}

function placesOf(row: NameRow, number: string, tensors: ReadonlyMap<string, TensorInfo>): OtherPlace[] {
  const { alias, aliasOfFirst, swaps = false } = row
  const numbered = (name: string): string => name.replace('#', number)
  const whole = (module: string): ModulePiece => ({ weight: tensors.get(`${module}.weight`), bias: tensors.get(`${module}.bias`) })
  const original = numbered(row.original)
  const parts = (typeof row.diffusers === 'string' ? [row.diffusers] : row.diffusers).map(numbered)
  const [fused, ...apart] = [original, ...parts].map(whole)
  if (fused?.weight !== undefined) {
    const ranges = rangesOf(fused.weight, parts.length)
    if (ranges.some(({ count }) => count <= 0)) return [] // another matrix of this name
    const others = parts.map((module, i) => ({ module, pieces: parts.length === 1 ? turned(fused, swaps) : [{ ...fused, ...rowsOfTensor(ranges[i]) }] }))
    const first = aliasOfFirst && {
      module: numbered(aliasOfFirst.name),
      pieces: [{ ...fused, ...rowsOfTensor(together(ranges.slice(0, aliasOfFirst.parts))) }],
    }
    return [...others, ...(alias === undefined ? [] : [{ module: numbered(alias), pieces: [fused] }]), ...(first === undefined ? [] : [first])]
  }
  if (apart.some(({ weight }) => weight === undefined)) return []
  const pieces = apart.length === 1 ? apart.flatMap((one) => turned(one, swaps)) : stacked(apart)
  const first = aliasOfFirst && { module: numbered(aliasOfFirst.name), pieces: stacked(apart.slice(0, aliasOfFirst.parts)) }
  return [original, ...(alias === undefined ? [] : [numbered(alias)])].map((module): OtherPlace => ({ module, pieces })).concat(first ?? [])
}

/** The rows of each part of a fused matrix. */
function rangesOf({ shape: [rows = 0, cols = 0] }: TensorInfo, count: number): RowRange[] {
  return Array.from({ length: count }, (_, i) => ({ first: i * cols, count: i + 1 < count ? cols : rows - i * cols }))
}

function together(ranges: readonly RowRange[]): RowRange {
  return { first: ranges[0]?.first ?? 0, count: ranges.reduce((sum, { count }) => sum + count, 0) }
}

function rowsOfTensor(rows: RowRange | undefined): { rows?: RowRange } {
  return rows === undefined ? {} : { rows }
}

/** Tensors one under the other. */
function stacked(pieces: readonly ModulePiece[]): ModulePiece[] {
  let first = 0
  return pieces.map((piece) => {
    const count = piece.weight?.shape[0] ?? 0
    first += count
    return { ...piece, part: { first: first - count, count } }
  })
}

/** A module whose halves lie in the other order, when it has two outputs for each input. */
function turned(piece: ModulePiece, swaps: boolean): ModulePiece[] {
  const [rows = 0, cols = 0] = piece.weight?.shape ?? []
  if (!swaps || rows !== 2 * cols) return [piece]
  const [low, high] = [
    { first: 0, count: cols },
    { first: cols, count: cols },
  ]
  return [
    { ...piece, rows: low, part: high },
    { ...piece, rows: high, part: low },
  ]
}
