/**
 * Words about linear attention (Gated DeltaNet): value heads that checkpoints group by the key head they share, and ggml
 * repeats by tiling. Where each key head has one value head, nothing moves.
 *
 * Law: conversion/qwen.py `Qwen3NextModel`, `_LinearAttentionVReorderBase` (llama.cpp 0c1e570).
 */
import { FormatError } from '../core/errors.js'
import { inRows } from '../core/row-program.js'
import { elementCount, rowShape } from '../core/shape.js'
import { readUint, type Config } from './config.js'
import { concatenated, each, expectRows, parts, recut, reshaped, rowsFrom, type TensorProgram, type Transform, type TransformContext } from './transform.js'

interface Heads {
  readonly keys: number
  readonly keySize: number
  /** Value heads of one key head. */
  readonly share: number
  readonly valueSize: number
}

export const LINEAR_ATTENTION_TRANSFORMS = {
  /** Rows of value heads: output gates. */
  'tileValues:rows': each(
    (tensor, context) => tiled(tensor, headsOf(context.config).valueSize, context),
    (tensor, context) => grouped(tensor, headsOf(context.config).valueSize, context),
  ),
  /** One row or number per value head: decays, steps. */
  'tileValues:heads': each(
    (tensor, context) => tiled(tensor, 1, context),
    (tensor, context) => grouped(tensor, 1, context),
  ),
  /** Queries, keys and values of one matrix: the values' rows. */
  'tileValues:qkv': each(
    (tensor, context) => withValues(tensor, context, tiled),
    (tensor, context) => withValues(tensor, context, grouped),
  ),
  /** Columns that take value heads: the output projection. */
  'tileValues:columns': each(
    (tensor, { config }) => {
      const { keys, share, valueSize } = headsOf(config)
      return share === 1 ? tensor : recut(tensor, [tensor.shape[0] ?? 1, keys, share, valueSize], { order: [0, 2, 1, 3] }, tensor.shape)
    },
    (tensor, { config }) => {
      const { keys, share, valueSize } = headsOf(config)
      return share === 1 ? tensor : recut(tensor, [tensor.shape[0] ?? 1, share, keys, valueSize], { order: [0, 2, 1, 3] }, tensor.shape)
    },
  ),
  /** Per key head: queries, keys, values, gates, as all queries, keys and values in one tensor, and all gates. */
  splitQkvz: parts(qkvzOfHeads, ([qkv, gates], { config }) => {
    if (qkv === undefined || gates === undefined) throw new FormatError('lacks its gates.')
    const { keys, keySize, share, valueSize } = headsOf(config)
    const part = (from: TensorProgram, first: number, size: number): TensorProgram =>
      reshaped(rowsFrom(from, keys * first, keys * size), [keys, size, ...from.shape.slice(1)])
    const values = share * valueSize
    const all = concatenated([part(qkv, 0, keySize), part(qkv, keySize, keySize), part(qkv, 2 * keySize, values), part(gates, 0, values)], 1)
    return reshaped(all, [keys * (all.shape[1] ?? 0), ...qkv.shape.slice(1)])
  }),
} as const satisfies Record<string, Transform>

function headsOf(config: Config): Heads {
  const [keys, values] = [readUint(config, 'linear_num_key_heads'), readUint(config, 'linear_num_value_heads')]
  return {
    keys,
    keySize: readUint(config, 'linear_key_head_dim'),
    share: Math.max(1, Math.floor(values / keys)),
    valueSize: readUint(config, 'linear_value_head_dim'),
  }
}

function qkvzOfHeads(tensor: TensorProgram, context: TransformContext): TensorProgram[] {
  const { keys, keySize, share, valueSize } = headsOf(context.config)
  const [rows = 0] = tensor.shape
  const rest = elementCount(tensor.shape) / rows
  const perHead = 2 * keySize + 2 * share * valueSize
  expectRows(tensor, keys * perHead, `${keys} key heads and ${keys * share} value heads`, context)
  const part = (first: number, size: number): TensorProgram =>
    recut(tensor, [keys, perHead, rest], { starts: [0, first], sizes: [keys, size, rest] }, [keys * size, ...tensor.shape.slice(1)])
  const fused = [part(0, keySize), part(keySize, keySize), part(2 * keySize, share * valueSize)]
  const shape = [fused.reduce((sum, one) => sum + (one.shape[0] ?? 0), 0), ...tensor.shape.slice(1)]
  const qkv = inRows({ op: 'stack', parts: fused.map(({ program }) => program) }, rowShape(shape))
  return [{ source: tensor.source, shape, program: qkv }, part(2 * keySize + share * valueSize, share * valueSize)]
}

/** Queries and keys as they are, the values' rows in another order. */
function withValues(tensor: TensorProgram, context: TransformContext, ordered: typeof tiled): TensorProgram {
  const { keys, keySize, share, valueSize } = headsOf(context.config)
  const [before, values] = [2 * keys * keySize, keys * share * valueSize]
  expectRows(tensor, before + values, `${keys} key heads and ${keys * share} value heads`, context)
  const tail = ordered(rowsFrom(tensor, before, values), valueSize, context)
  return { ...tensor, program: { op: 'stack', parts: [rowsFrom(tensor, 0, before).program, tail.program] } }
}

/** (key heads, share, size) rows as (share, key heads, size). */
function tiled(tensor: TensorProgram, size: number, context: TransformContext): TensorProgram {
  const { keys, share } = headsOf(context.config)
  if (share === 1) return tensor
  expectRows(tensor, keys * share * size, `${keys * share} value heads`, context)
  const rest = elementCount(tensor.shape) / (keys * share * size)
  return reshaped(recut(tensor, [keys, share, size, rest], { order: [1, 0, 2, 3] }, tensor.shape), tensor.shape)
}

/** The same backwards. */
function grouped(tensor: TensorProgram, size: number, context: TransformContext): TensorProgram {
  const { keys, share } = headsOf(context.config)
  if (share === 1) return tensor
  expectRows(tensor, keys * share * size, `${keys * share} value heads`, context)
  const rest = elementCount(tensor.shape) / (keys * share * size)
  return reshaped(recut(tensor, [share, keys, size, rest], { order: [1, 0, 2, 3] }, tensor.shape), tensor.shape)
}
