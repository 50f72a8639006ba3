/**
 * Renders a model's chat template (Jinja, untrusted) in bounded time and memory.
 *
 *   template text ──► openChatTemplate ──► render(messages) ──► text | raised (the template refused) | failed (broken or over a bound)
 *
 * Law: transformers `apply_chat_template` (trim_blocks, lstrip_blocks, tools and documents None); a missing BOS is the empty text, as in llama.cpp.
 *
 * @huggingface/jinja has no limits of its own. Guarded here: the template's length, runs of blanks (its preprocessing is quadratic in them), the number of
 * evaluations, the size of every value, range(), the width of indent and tojson. Not guarded: one operation may build a text of up to
 * MAX_VALUE² characters (67 MB, `replace`, `join`) before its result is refused; it happens at most once a rendering.
 */
import { InternalError, UnsupportedError } from '../core/errors.js'

const MAX_TEMPLATE_CHARACTERS = 65_536 // the longest of 71 published templates has 16,738
const MAX_BLANKS = 1_000 // in one run
const MAX_STEPS = 200_000 // evaluations, plus the size of every value seen; published templates need up to 14,200 for a probe
const UNKNOWN_NAME_STEPS = 10 // the engine throws and catches an error for each
const MAX_VALUE = 8_192 // characters and items of one value; the largest that a published template makes of a probe has 5,800
const MAX_WIDTH = 1_000 // of indent() and tojson(indent=)
const FIXED_DATE = '2024-07-26' // a rendering must not depend on the day; templates that ask are marked by `asksForDate`

export interface ChatMessage {
  readonly role: 'system' | 'user' | 'assistant'
  readonly content: string
}

/** The texts that the tokenizer config gives for its special tokens; a missing one is the empty text. */
export interface SpecialTokens {
  readonly bosToken?: string | undefined
  readonly eosToken?: string | undefined
}

export type Rendering =
  | { readonly kind: 'text'; readonly text: string; readonly asksForDate: boolean }
  /** The template itself refused, by raise_exception: a role it does not know, turns that do not alternate. */
  | { readonly kind: 'raised'; readonly message: string }
  | { readonly kind: 'failed'; readonly message: string }

export interface RenderOptions {
  /** Whether the text ends where the assistant's answer begins. */
  readonly openAnswer: boolean
}

export interface ChatTemplate {
  render(messages: readonly ChatMessage[], options: RenderOptions): Rendering
}

/** The parts of @huggingface/jinja that are used; its own declarations do not resolve under nodenext. */
interface Jinja {
  readonly tokenize: (source: string, options: { readonly trim_blocks: boolean; readonly lstrip_blocks: boolean }) => unknown
  readonly parse: (tokens: unknown) => JinjaNode
  readonly Environment: new () => { set(name: string, value: unknown): unknown }
  readonly Interpreter: new (environment: unknown) => JinjaInterpreter
}
interface JinjaNode {
  readonly type: string
  readonly value?: unknown
  readonly filter?: JinjaNode
  readonly callee?: JinjaNode
}
interface JinjaInterpreter {
  evaluate(node: JinjaNode | undefined, environment: unknown): { readonly value: unknown }
  run(program: JinjaNode): { readonly value: unknown }
}

/**
 * Parses a chat template.
 * @returns the template, or the reason why it cannot be parsed
 */
export async function openChatTemplate(source: string, tokens: SpecialTokens): Promise<ChatTemplate | { readonly failed: string }> {
  if (source.length > MAX_TEMPLATE_CHARACTERS) return { failed: `it has ${source.length} characters, more than ${MAX_TEMPLATE_CHARACTERS}` }
  if (longestBlankRun(source) > MAX_BLANKS) return { failed: `it holds more than ${MAX_BLANKS} blanks in a row` }
  const jinja: Jinja = await import('@huggingface/jinja')
  try {
    const program = jinja.parse(jinja.tokenize(source, { trim_blocks: true, lstrip_blocks: true }))
    return { render: (messages, options) => renderBounded(jinja, program, source.length, variablesFor(messages, tokens, options)) }
  } catch (error) {
    return { failed: messageOf(error) }
  }
}

function longestBlankRun(text: string): number {
  let longest = 0
  let run = 0
  for (const character of text) {
    run = /\s/.test(character) ? run + 1 : 0
    if (run > longest) longest = run
  }
  return longest
}

function variablesFor(messages: readonly ChatMessage[], tokens: SpecialTokens, options: RenderOptions): ReadonlyMap<string, unknown> {
  return new Map<string, unknown>([
    ['messages', messages],
    ['add_generation_prompt', options.openAnswer],
    ['bos_token', tokens.bosToken ?? ''],
    ['eos_token', tokens.eosToken ?? ''],
    ['tools', null],
    ['documents', null],
  ])
}

function renderBounded(jinja: Jinja, program: JinjaNode, templateCharacters: number, variables: ReadonlyMap<string, unknown>): Rendering {
  let raised: string | undefined
  let asksForDate = false
  const environment = new jinja.Environment()
  for (const [name, value] of CONSTANTS) environment.set(name, value)
  environment.set('range', boundedRange)
  environment.set('raise_exception', (message: unknown) => {
    raised = String(message)
    throw new UnsupportedError('the chat template refused.')
  })
  environment.set('strftime_now', () => {
    asksForDate = true
    return FIXED_DATE
  })
  for (const [name, value] of variables) environment.set(name, value)

  const interpreter = new jinja.Interpreter(environment)
  boundEvaluation(interpreter, templateCharacters)
  try {
    const text = interpreter.run(program).value
    if (typeof text !== 'string') throw new InternalError('the template engine gave no text.')
    return { kind: 'text', text, asksForDate }
  } catch (error) {
    return raised === undefined ? { kind: 'failed', message: messageOf(error) } : { kind: 'raised', message: raised }
  }
}

const CONSTANTS: readonly (readonly [string, unknown])[] = [
  ['true', true],
  ['True', true],
  ['false', false],
  ['False', false],
  ['none', null],
  ['None', null],
]

/**
 * Makes every evaluation pay. The engine calls `this.evaluate` for each node, so an own property takes the place of the method:
 * what a node yields is weighed before anything else can be made from it.
 */
function boundEvaluation(interpreter: JinjaInterpreter, templateCharacters: number): void {
  const evaluate = interpreter.evaluate.bind(interpreter)
  let steps = 0
  let widthsOpen = 0 // nested indent(…) and tojson(…) filters whose arguments are being evaluated
  const spend = (cost: number): void => {
    steps += cost
    if (steps > MAX_STEPS) throw new UnsupportedError(`the chat template takes more than ${MAX_STEPS} steps.`)
  }
  interpreter.evaluate = (node, environment) => {
    spend(node?.type === 'Macro' || node?.type === 'CallStatement' ? 1 + (templateCharacters >> 4) : 1) // the engine walks their whole body
    const takesWidth = hasWidth(node)
    if (takesWidth) widthsOpen++
    const result = evaluate(node, environment)
    if (takesWidth) widthsOpen--
    if (widthsOpen > 0 && typeof result.value === 'number' && result.value > MAX_WIDTH)
      throw new UnsupportedError(`the chat template indents by more than ${MAX_WIDTH}.`)
    spend(result.value === undefined ? UNKNOWN_NAME_STEPS : Array.isArray(result.value) ? weigh(result) : weigh(result) >> 3)
    return result
  }
}

function hasWidth(node: JinjaNode | undefined): boolean {
  const name = node?.filter?.callee?.value
  return name === 'indent' || name === 'tojson'
}

/** Characters and items in a value, shared ones counted each time they are met, as printing would. @throws UnsupportedError over MAX_VALUE */
function weigh(root: { readonly value: unknown }): number {
  let weight = 0
  const open: unknown[] = [root.value]
  while (open.length > 0) {
    const value = open.pop()
    weight += typeof value === 'string' ? value.length + 1 : 1
    if (Array.isArray(value)) for (const item of value) open.push(item.value)
    else if (value instanceof Map) {
      for (const [key, item] of value) {
        weight += String(key).length
        open.push(item.value)
      }
    }
    if (weight + open.length > MAX_VALUE) throw new UnsupportedError(`the chat template makes a value of more than ${MAX_VALUE} characters.`)
  }
  return weight
}

function boundedRange(first: unknown, second?: unknown, third: unknown = 1): number[] {
  const [start, stop, step] = second === undefined || second === null ? [0, first, 1] : [first, second, third]
  if (!isInteger(start) || !isInteger(stop) || !isInteger(step) || step === 0) throw new UnsupportedError('range() in the chat template wants whole numbers.')
  if (Math.abs(stop - start) / Math.abs(step) > MAX_VALUE) throw new UnsupportedError(`range() in the chat template counts over ${MAX_VALUE}.`)
  const numbers: number[] = []
  for (let i = start; step > 0 ? i < stop : i > stop; i += step) numbers.push(i)
  return numbers
}

function isInteger(value: unknown): value is number {
  return Number.isSafeInteger(value)
}

// a stack overflow of the engine's recursion arrives here too, as a RangeError
function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
