/** Words about fused projections: the orders in which families store queries, keys and values in one matrix. */
import { FormatError } from '../core/errors.js'
import { rowRange } from '../core/row-maps.js'
import { elementCount, shapeText } from '../core/shape.js'
import type { Config } from './config.js'
import { headCount, headDim, kvHeadCount, optionalUint } from './dimensions.js'
import { transposed, unpermuteRope } from './transforms-layout.js'
import { each, parts, recut, rowsFrom, type TensorProgram, type Transform, type TransformContext } from './transform.js'

export const PROJECTION_TRANSFORMS = {
  /** (heads, 3, head) becomes (3, heads, head): Bloom, GPT-NeoX. Law: conversion/bloom.py, gptneox.py `modify_tensors`. */
  qkvByHead: each((tensor, context) => {
    const heads = headCount(context.config)
    const [rows, rest] = rowsIn(tensor, 3 * heads, context)
    return recut(tensor, [heads, 3, rows / 3 / heads, rest], { order: [1, 0, 2, 3] }, tensor.shape)
  }),
  /** Groups of queries, a key and a value become all queries, all keys, all values, in one tensor: Falcon. Law: conversion/falcon.py. */
  qkvByGroup: each((tensor, context) => {
    const [q, k, v] = queriesKeysValues(tensor, context)
    return { source: tensor.source, shape: tensor.shape, program: { op: 'stack', parts: [q.program, k.program, v.program] } }
  }),
  /** The same as three tensors, with rotary halves un-permuted: InternLM 2. Law: conversion/internlm.py. */
  splitGroupsRope: parts((tensor, context) => {
    const [q, k, v] = queriesKeysValues(tensor, context)
    return [
      unpermuteRope(q, headCount(context.config), 'num_attention_heads', context.config),
      unpermuteRope(k, kvHeadCount(context.config), 'num_key_value_heads', context.config),
      v,
    ]
  }),
  /** Thirds with rotary halves un-permuted: Baichuan's W_pack. Law: conversion/baichuan.py, its `_reverse_hf_permute`. */
  splitThirdsRope: parts((tensor, context) => {
    const [rows] = rowsIn(tensor, 3, context)
    const [q, k, v] = [0, 1, 2].map((part) => rowsFrom(tensor, (part * rows) / 3, rows / 3)) as [TensorProgram, TensorProgram, TensorProgram]
    const heads = headCount(context.config)
    return [
      unpermuteRope(q, heads, 'num_attention_heads', context.config),
      unpermuteRope(k, kvHeadCount(context.config), 'num_key_value_heads', context.config),
      v,
    ]
  }),
  /** Queries, keys and values one after the other: ERNIE. Law: conversion/ernie.py `Ernie4_5Model`. */
  splitQkvRows: parts((tensor, { config }) => threeParts(tensor, config)),
  /** The same with rotary halves un-permuted: Ling. Law: conversion/bailingmoe.py. */
  splitQkvRowsRope: parts((tensor, context) => {
    const { config } = context
    const [q, k, v] = threeParts(tensor, config)
    return [unpermuteRope(q, headCount(config), 'num_attention_heads', config), unpermuteRope(k, kvHeadCount(config), 'num_key_value_heads', config), v]
  }),
  /** Latent attention: (heads, keys + values, rank) as keys (heads, rank, keys) and values (heads, values, rank). Law: conversion/deepseek.py. */
  splitLatent: parts((tensor, { config }) => {
    const heads = headCount(config)
    const [keys, values] = [optionalUint(config, 'qk_nope_head_dim') ?? 0, optionalUint(config, 'v_head_dim') ?? 0]
    const [rows = 0, rank = 0] = tensor.shape
    if (rows !== heads * (keys + values) || tensor.shape.length !== 2) throw misfit(tensor, `${heads} heads of ${keys} + ${values} rows`)
    const part = (first: number, size: number): TensorProgram => {
      const matrices = Array.from({ length: heads }, (_, head) => rowRange(tensor.program, head * (keys + values) + first, size))
      return { source: tensor.source, shape: [heads, size, rank], program: { op: 'stack', parts: matrices } }
    }
    return [transposed(part(0, keys)), part(keys, values)]
  }),
} as const satisfies Record<string, Transform>

function threeParts(tensor: TensorProgram, config: Config): [q: TensorProgram, k: TensorProgram, v: TensorProgram] {
  const [q, kv] = [headCount(config) * headDim(config), kvHeadCount(config) * headDim(config)]
  if (tensor.shape[0] !== q + 2 * kv) throw misfit(tensor, `${q} + 2 x ${kv} rows`)
  return [rowsFrom(tensor, 0, q), rowsFrom(tensor, q, kv), rowsFrom(tensor, q + kv, kv)]
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
