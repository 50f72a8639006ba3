/**
 * The user's own choices of types: `--tensor-type PATTERN=TYPE`, files of them, and single types of options.
 *
 * Law: tools/quantize/quantize.cpp `parse_tensor_type`, `parse_tensor_type_file` (llama.cpp 0c1e570): the pattern is
 * lower-cased and searched in the tensor's name as an ECMAScript regular expression; the first that matches decides.
 * Here it is matched in linear time (core/safe-pattern.ts), so only what both dialects read alike is taken.
 */
import { ENCODED_TYPES, isEncodedType } from '../core/arithmetic.js'
import { FormatError, quoted, UnsupportedError, UsageError } from '../core/errors.js'
import { isQuantType, type QuantType } from '../core/quant-types.js'
import { compilePattern, patternBudget } from '../core/safe-pattern.js'
import { fileTypeRow, isNamedFileType, normalTypeName } from './file-types.js'

/** One choice of the user's. Plain data. */
export interface TypeOverride {
  /** Regular expression, lower case. */
  readonly pattern: string
  readonly type: QuantType
}

/**
 * A tensor type as a user typed it, in any case.
 * @param option  where it was typed, for messages
 * @throws UnsupportedError for a type of ggml that has no encoder here, UsageError for no type
 */
export function parseTensorType(option: string, typed: string): QuantType {
  const name = typed.toLowerCase()
  const list = ENCODED_TYPES.join(', ')
  if (isQuantType(name)) {
    if (isEncodedType(name)) return name
    throw new UnsupportedError(`${option}: tensors cannot be written as ${name} here; possible are ${list}.`)
  }
  const fileType = normalTypeName(name)
  const hint = isNamedFileType(fileType) ? ` (${name} is a mixture of a whole file; its matrices are ${fileTypeRow(fileType).type})` : ''
  throw new UsageError(`${option} takes one of the types ${list}, not ${quoted(typed)}${hint}.`)
}

/**
 * `attn_v=q8_0`, `blk\.1\.ffn_(up|gate)=q5_k`.
 * @throws UsageError when it is no PATTERN=TYPE, or the pattern cannot be used; UnsupportedError as {@link parseTensorType}
 */
export function parseTypeOverride(option: string, typed: string): TypeOverride {
  const at = typed.indexOf('=')
  if (at < 1 || at === typed.length - 1) throw new UsageError(`${option} takes PATTERN=TYPE such as attn_v=q8_0, not ${quoted(typed)}.`)
  const override = { pattern: typed.slice(0, at).toLowerCase(), type: parseTensorType(option, typed.slice(at + 1)) }
  compileOverrides([override], option)
  return override
}

/**
 * A file of them, separated by white space.
 * @param file  its name, for messages
 */
export function parseTypeOverrides(text: string, file: string): TypeOverride[] {
  const words = text
    .replace(/^\ufeff/, '')
    .split(/[ \t\n\v\f\r]+/)
    .filter((word) => word !== '')
  return words.map((word) => parseTypeOverride(`--tensor-type-file ${file}`, word))
}

/** An override that can be asked. */
export interface CompiledOverride extends TypeOverride {
  readonly search: (name: string) => boolean
}

/** Compiles overrides; all their matches share one budget of time. @throws UsageError naming what a pattern must not use */
export function compileOverrides(overrides: readonly TypeOverride[], option = '--tensor-type'): CompiledOverride[] {
  const budget = patternBudget()
  return overrides.map(({ pattern, type }) => {
    const foreign = foreignSyntax(pattern)
    if (foreign !== undefined) throw new UsageError(`${option}: the pattern ${quoted(pattern)} uses ${foreign}, which is not supported.`)
    try {
      const compiled = compilePattern(pattern, option, budget)
      return { pattern, type, search: (text) => compiled.search(text) }
    } catch (error) {
      if (error instanceof FormatError || error instanceof UnsupportedError) throw new UsageError(`${option}: ${error.what}`, {}, { cause: error })
      throw error
    }
  })
}

const ESCAPED_LETTERS = 'bdfnrstuvwx'

/**
 * What ECMAScript (the reference) and Python (core/pattern-syntax.ts) read differently, by name; undefined when the
 * pattern has nothing of it. One walk over the text.
 */
function foreignSyntax(pattern: string): string | undefined {
  let inClass = false
  for (let at = 0; at < pattern.length; at++) {
    const next = pattern[at + 1] ?? ''
    switch (pattern[at]) {
      case '\\':
        if (/[a-z]/.test(next) && !ESCAPED_LETTERS.includes(next)) return `the escape \\${next}`
        at++
        break
      case '[':
        if (inClass && /[:.=]/.test(next)) return 'a class by name such as [[:digit:]]'
        if (!inClass && /^\[\^?\]/.test(pattern.slice(at, at + 3))) return 'an empty class []'
        inClass = true
        break
      case ']':
        inClass = false
        break
      case '(':
        if (!inClass && next === '?' && pattern[at + 2] !== ':') return `a group that begins with ${pattern.slice(at, at + 3)}`
        break
      case '{':
        if (!inClass && !/^\{\d+(?:,\d*)?\}/.test(pattern.slice(at, at + 24))) return 'a { that begins no repeat {n}, {n,} or {n,m}'
    }
  }
  return undefined
}
