/** Token types of GGUF, and the reference's guess at which added tokens are control tokens whatever their flags say. */

/** Law: gguf-py constants.py `TokenType`. */
export const TOKEN_TYPES = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const

const CONTROL_TEXTS: ReadonlySet<string> = new Set(['<pad>', '<mask>', '<2mass>', '[@BOS@]'])
const CONTROL_BRACKETS: readonly (readonly [string, string])[] = [
  ['<|', '|>'],
  ['<｜', '｜>'],
  ['<unused', '>'],
]

/** Law: conversion/base.py `does_token_look_special`. */
export function looksSpecial(token: string): boolean {
  return CONTROL_TEXTS.has(token) || CONTROL_BRACKETS.some(([open, close]) => token.startsWith(open) && token.endsWith(close))
}

/** SentencePiece's sign for a space becomes a space: llama.cpp wants user-defined tokens as they stand in text. */
export function withPlainSpaces(token: string): string {
  return token.replaceAll('\u2581', ' ')
}
