/** Words about fused projections: the orders in which families store queries, keys and values in one matrix. */
import { FormatError } from '../core/errors.js'
import { rowRange } from '../core/row-maps.js'
import { elementCount, shapeText } from '../core/shape.js'
import type { Config } from './config.js'
import { headCount, headDim, kvHeadCount, optionalUint } from './dimensions.js'
import { permuteRope, transposed, unpermuteRope } from './transforms-layout.js'
import { concatenated, each, parts, recut, reshaped, rowsFrom, type TensorProgram, type Transform, type TransformContext } from './transform.js'

export const PROJECTION_TRANSFORMS = {
  /** (heads, 3, head) becomes (3, heads, head): Bloom, GPT-NeoX. Law: conversion/bloom.py, gptneox.py `modify_tensors`. */
  qkvByHead: each(
    (tensor, context) => {
      const heads = headCount(context.config)
      const [rows, rest] = rowsIn(tensor, 3 * heads, context)
      return recut(tensor, [heads, 3, rows / 3 / heads, rest], { order: [1, 0, 2, 3] }, tensor.shape)
    },
    (tensor, context) => {
      const heads = headCount(context.config)
      const [rows, rest] = rowsIn(tensor, 3 * heads, context)
      return recut(tensor, [3, heads, rows / 3 / heads, rest], { order: [1, 0, 2, 3] }, tensor.shape)
    },
  ),
  /** Groups of queries, a key and a value become all queries, all keys, all values, in one tensor: Falcon. Law: conversion/falcon.py. */
  qkvByGroup: each(
    (tensor, context) => {
      const [q, k, v] = queriesKeysValues(tensor, context)
      return { source: tensor.source, shape: tensor.shape, program: { op: 'stack', parts: [q.program, k.program, v.program] } }
    },
    (tensor, context) => {
      const [q, kv] = groupRows(tensor, context)
      return ofGroups([rowsFrom(tensor, 0, q), rowsFrom(tensor, q, kv), rowsFrom(tensor, q + kv, kv)], context)
    },
  ),
  /** The same as three tensors, with rotary halves un-permuted: InternLM 2. Law: conversion/internlm.py. */
  splitGroupsRope: parts(
    (tensor, context) => unpermuted(queriesKeysValues(tensor, context), context),
    (made, context) => ofGroups(permuted(made, context), context),
  ),
  /** Thirds with rotary halves un-permuted: Baichuan's W_pack. Law: conversion/baichuan.py, its `_reverse_hf_permute`. */
  splitThirdsRope: parts(
    (tensor, context) => {
      const [rows] = rowsIn(tensor, 3, context)
      return unpermuted(
        [0, 1, 2].map((part) => rowsFrom(tensor, (part * rows) / 3, rows / 3)),
        context,
      )
    },
    (made, context) => concatenated(permuted(made, context), 0),
  ),
  /** Queries, keys and values one after the other: ERNIE. Law: conversion/ernie.py `Ernie4_5Model`. */
  splitQkvRows: parts(
    (tensor, { config }) => threeParts(tensor, config),
    (made) => concatenated(made, 0),
  ),
  /** The same with rotary halves un-permuted: Ling. Law: conversion/bailingmoe.py. */
  splitQkvRowsRope: parts(
    (tensor, context) => unpermuted(threeParts(tensor, context.config), context),
    (made, context) => concatenated(permuted(made, context), 0),
  ),
  /** Latent attention: (heads, keys + values, rank) as keys (heads, rank, keys) and values (heads, values, rank). Law: conversion/deepseek.py. */
  splitLatent: parts(latentParts, ([keys, values]) => {
    if (keys === undefined || values === undefined) throw new FormatError('lacks its values.')
    const both = concatenated([transposed(keys), values], 1)
    const [heads = 0, rows = 0, rank = 0] = both.shape
    return reshaped(both, [heads * rows, rank])
  }),
} as const satisfies Record<string, Transform>

function threeParts(tensor: TensorProgram, config: Config): [q: TensorProgram, k: TensorProgram, v: TensorProgram] {
  const [q, kv] = [headCount(config) * headDim(config), kvHeadCount(config) * headDim(config)]
  if (tensor.shape[0] !== q + 2 * kv) throw misfit(tensor, `${q} + 2 x ${kv} rows`)
  return [rowsFrom(tensor, 0, q), rowsFrom(tensor, q, kv), rowsFrom(tensor, q + kv, kv)]
}

function latentParts(tensor: TensorProgram, { config }: TransformContext): TensorProgram[] {
  const heads = headCount(config)
  const [keys, values] = [optionalUint(config, 'qk_nope_head_dim') ?? 0, optionalUint(config, 'v_head_dim') ?? 0]
  const [rows = 0, rank = 0] = tensor.shape
  if (rows !== heads * (keys + values) || tensor.shape.length !== 2) throw misfit(tensor, `${heads} heads of ${keys} + ${values} rows`)
  const part = (first: number, size: number): TensorProgram => {
    const matrices = Array.from({ length: heads }, (_, head) => rowRange(tensor.program, head * (keys + values) + first, size))
    return { source: tensor.source, shape: [heads, size, rank], program: { op: 'stack', parts: matrices } }
  }
  return [transposed(part(0, keys)), part(keys, values)]
}

/** Queries and keys with rotary halves side by side. */
function unpermuted(all: readonly TensorProgram[], { config }: TransformContext): TensorProgram[] {
  return all.map((tensor, i) => (i === 2 ? tensor : unpermuteRope(tensor, i === 0 ? headCount(config) : kvHeadCount(config), HEADS_OF[i] ?? '', config)))
}

/** The same backwards. */
function permuted(all: readonly TensorProgram[], { config }: TransformContext): TensorProgram[] {
  return all.map((tensor, i) => (i === 2 ? tensor : permuteRope(tensor, i === 0 ? headCount(config) : kvHeadCount(config), HEADS_OF[i] ?? '', config)))
}

const HEADS_OF = ['num_attention_heads', 'num_key_value_heads'] as const

/** Rows of all queries, and of all keys. */
function groupRows(tensor: TensorProgram, context: TransformContext): [q: number, kv: number] {
  const [heads, groups] = [headCount(context.config), kvHeadCount(context.config)]
  const [rows] = rowsIn(tensor, heads + 2 * groups, context)
  const head = rows / (heads + 2 * groups)
  return [heads * head, groups * head]
}

/** All queries, all keys, all values by groups: {@link queriesKeysValues} backwards. */
function ofGroups(all: readonly TensorProgram[], context: TransformContext): TensorProgram {
  const groups = kvHeadCount(context.config)
  const whole = concatenated(
    all.map((tensor) => reshaped(tensor, [groups, (tensor.shape[0] ?? 0) / groups, ...tensor.shape.slice(1)])),
    1,
  )
  return reshaped(whole, [groups * (whole.shape[1] ?? 0), ...whole.shape.slice(2)])
}

/** (groups, queries per group + 2, head): all queries, all keys, all values. */
function queriesKeysValues(tensor: TensorProgram, context: TransformContext): [q: TensorProgram, k: TensorProgram, v: TensorProgram] {
  const [heads, groups] = [headCount(context.config), kvHeadCount(context.config)]
  if (heads % groups !== 0) throw misfit(tensor, `${groups} groups of ${heads} heads`)
  const queries = heads / groups
  const [rows, rest] = rowsIn(tensor, groups * (queries + 2), context)
  const head = rows / groups / (queries + 2)
  const part = (first: number, size: number): TensorProgram =>
    recut(tensor, [groups, queries + 2, head, rest], { starts: [0, first], sizes: [groups, size, head, rest] }, [
      groups * size * head,
      ...tensor.shape.slice(1),
    ])
  return [part(0, queries), part(queries, 1), part(queries + 1, 1)]
}

/** Rows, and elements of each; the rows must be a multiple of what the config says. */
function rowsIn(tensor: TensorProgram, multiple: number, { config }: TransformContext): [rows: number, rest: number] {
  const [rows = 0] = tensor.shape
  if (rows === 0 || rows % multiple !== 0 || elementCount(tensor.shape) === 0) throw misfit(tensor, `a multiple of ${multiple} rows, by ${config.file},`)
  return [rows, elementCount(tensor.shape) / rows]
}

function misfit(tensor: TensorProgram, wanted: string): FormatError {
  return new FormatError(`has shape ${shapeText(tensor.shape)}; ${wanted} are wanted.`, { tensor: tensor.source })
}
