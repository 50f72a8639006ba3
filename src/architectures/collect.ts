/**
 * Tensors that become one in the file, as they come: the experts of a layer, the norms of its heads. They are complete
 * when config.json's number of them is there; the matrices of all experts of a layer come into the file together.
 *
 * Law: conversion/llama.py, qwen.py `modify_tensors` (`_experts`).
 */
import { InternalError, FormatError } from '../core/errors.js'
import type { Config } from './config.js'
import type { SourceTensor } from './convert.js'
import type { Architecture, TensorRule } from './define.js'
import type { MatchedPiece } from './match.js'
import { filledTemplate } from './templates.js'
import { listLength } from './transforms.js'

/** A tensor of the checkpoint that is one of several. */
export interface CollectedPiece extends MatchedPiece {
  readonly tensor: SourceTensor
}

interface List {
  readonly rule: TensorRule
  readonly block: number | undefined
  /** How many it must have. */
  readonly length: number
  readonly members: Map<number, SourceTensor>
}

export class Collector {
  private readonly config: Config
  private readonly groups = new Map<string, Map<TensorRule, List>>()

  constructor(config: Config) {
    this.config = config
  }

  /** Takes one more. @returns the lists that are complete with it, in the order of the rows */
  add(
    architecture: Architecture,
    { rule, piece, captures, tensor }: CollectedPiece,
  ): { rule: TensorRule; block: number | undefined; tensors: SourceTensor[] }[] {
    const key = `${captures.block ?? ''} ${rule.group}`
    const lists = this.groups.get(key) ?? this.emptyLists(architecture, rule.group, captures.block)
    this.groups.set(key, lists)
    const list = lists.get(rule)
    if (list === undefined) throw new InternalError(`${architecture.name}: ${rule.group} has no such row`)
    const index = captures.expert ?? piece
    if (index >= list.length)
      throw new FormatError(`is number ${index} of a list that has ${list.length} by ${this.config.file}, from 0.`, { tensor: tensor.name })
    list.members.set(index, tensor)
    const started = [...lists.values()].filter(({ rule: { presence }, members }) => presence !== 'optional' || members.size > 0)
    if (started.some(({ members, length }) => members.size < length)) return []
    this.groups.delete(key)
    return started.map(({ rule: ready, block, members }) => ({ rule: ready, block, tensors: [...members].sort(([a], [b]) => a - b).map(([, one]) => one) }))
  }

  /** Names of members that never came, of lists that began. */
  missing(architecture: Architecture): string[] {
    if (this.groups.size === 0) return []
    return [...this.groups.values()].flatMap((lists) =>
      [...lists.values()].flatMap(({ rule, block, length, members }) => {
        if (rule.presence === 'optional' && members.size === 0) return []
        const absent = Array.from({ length }, (_, index) => index).filter((index) => !members.has(index))
        return absent.map((index) =>
          filledTemplate((rule.pieces[rule.pieces.length > 1 ? index : 0] ?? [architecture.name])[0] ?? '', { block: block ?? 0, expert: index }),
        )
      }),
    )
  }

  private emptyLists({ rules }: Architecture, group: string | undefined, block: number | undefined): Map<TensorRule, List> {
    const own = rules.filter((rule) => rule.group === group)
    return new Map(
      own.map((rule) => {
        const length = rule.pieces.length > 1 ? rule.pieces.length : listLength(rule.transforms, this.config)
        if (length === undefined) throw new InternalError(`no word of ${rule.group}{expert} says how many there are`)
        return [rule, { rule, block, length, members: new Map<number, SourceTensor>() }]
      }),
    )
  }
}
