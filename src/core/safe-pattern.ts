/**
 * Regular expressions from untrusted files, matched in time linear in the text: the pattern becomes a little machine
 * whose states are followed all at once, so `(a+)+$` costs no more than `a`. No captures; only whether it matches.
 *
 * Law: Ken Thompson 1968, as Russ Cox describes it ("Regular Expression Matching: the Virtual Machine Approach");
 * syntax and meaning as Python's `re` (pattern-syntax.ts).
 */
import { quoted, UnsupportedError } from './errors.js'
import { isWordCharacter } from './pattern-characters.js'
import { repeatsLooseRepeat } from './pattern-loops.js'
import { parsePattern, type PatternAnchor, type PatternNode } from './pattern-syntax.js'

/** Steps that matching may still take; share one among patterns to bound a whole file. Owned by the caller, counted down. */
export interface PatternBudget {
  stepsLeft: number
}

/** A pattern ready to be used on any number of texts. */
export interface CompiledPattern {
  readonly source: string
  /**
   * True when it repeats a repeat with nothing firm between, as in `(a+)+`: harmless here, but a backtracking matcher
   * (Python's) needs exponential time for it.
   */
  readonly explodesInPython: boolean
  /** Whether the whole text matches: Python's `re.fullmatch`. */
  fullMatch(text: string): boolean
  /** Whether some beginning of the text matches: Python's `re.match`. */
  matchStart(text: string): boolean
  /** Whether it matches anywhere in the text: Python's `re.search`. */
  search(text: string): boolean
}

const MAX_STATES = 20_000 // an alternation of all 32 x 7 linears of a model takes about 6,000
const MAX_STEPS = 300_000_000 // one to two seconds; a file of 2,000 modules with 50 patterns takes 30 million

/**
 * Compiles a pattern.
 * @param source  in Python's syntax
 * @param file    where it stands, for messages
 * @param budget  shared limit on the steps of all matches; without it each match has its own
 * @throws FormatError when malformed, UnsupportedError for lookaround, backreferences and patterns that are too large;
 *         matching throws UnsupportedError when the budget is used up
 */
export function compilePattern(source: string, file: string, budget?: PatternBudget): CompiledPattern {
  const tree = parsePattern(source, file)
  const machine = new Machine(source, file, tree)
  const run = (text: string, start: boolean, end: boolean): boolean => {
    const own = budget ?? { stepsLeft: MAX_STEPS }
    return machine.run(
      Array.from(text, (character) => character.codePointAt(0) ?? 0),
      start,
      end,
      own,
    )
  }
  return {
    source,
    explodesInPython: repeatsLooseRepeat(tree),
    fullMatch: (text) => run(text, true, true),
    matchStart: (text) => run(text, true, false),
    search: (text) => run(text, false, false),
  }
}

/** A new budget of the default size. */
export function patternBudget(): PatternBudget {
  return { stepsLeft: MAX_STEPS }
}

type Instruction =
  | { readonly op: 'character'; readonly accepts: (codePoint: number) => boolean }
  | { readonly op: 'anchor'; readonly at: PatternAnchor }
  /** Goes on at both places; `jump` has one. Written before its targets are known, hence not readonly. */
  | { readonly op: 'split'; a: number; b: number }
  | { readonly op: 'match' }

class Machine {
  private readonly source: string
  private readonly file: string
  private readonly program: Instruction[] = []
  private visits = 0
  private readonly stack: Int32Array
  private readonly seenAt: Int32Array
  private generation = 0

  constructor(source: string, file: string, tree: PatternNode) {
    this.source = source
    this.file = file
    this.compile(tree)
    this.emit({ op: 'match' })
    this.stack = new Int32Array(this.program.length)
    this.seenAt = new Int32Array(this.program.length)
  }

  /** Follows all states at once. `start`: only from the first character on; `end`: only up to the last. */
  run(text: readonly number[], start: boolean, end: boolean, budget: PatternBudget): boolean {
    let active: number[] = []
    let next: number[] = []
    this.newStep()
    for (let at = 0; ; at++) {
      if ((at === 0 || !start) && this.follow(0, text, at, active) && (!end || at === text.length)) return true
      if (at === text.length || (start && active.length === 0)) return false
      budget.stepsLeft -= active.length + 1
      if (budget.stepsLeft < 0) throw new UnsupportedError(`matching the pattern ${quoted(this.source)} takes too long; simplify it.`, { file: this.file })
      this.newStep()
      const codePoint = text[at] ?? 0
      for (const state of active) {
        const instruction = this.program[state]
        if (instruction?.op !== 'character' || !instruction.accepts(codePoint)) continue
        if (this.follow(state + 1, text, at + 1, next) && (!end || at + 1 === text.length)) return true
      }
      ;[active, next] = [next, active]
      next.length = 0
    }
  }

  private newStep(): void {
    if (++this.generation === 0x7fffffff) {
      this.seenAt.fill(0)
      this.generation = 1
    }
  }

  /** Adds the characters that can come next from `state` to `active`; true when the pattern may end here. */
  private follow(state: number, text: readonly number[], at: number, active: number[]): boolean {
    let matched = false
    let height = 0
    const push = (target: number): void => {
      if (this.seenAt[target] === this.generation) return
      this.seenAt[target] = this.generation
      this.stack[height++] = target
    }
    push(state)
    while (height > 0) {
      const current = this.stack[--height] ?? 0
      const instruction = this.program[current]
      switch (instruction?.op) {
        case 'character':
          active.push(current)
          break
        case 'split':
          push(instruction.a)
          push(instruction.b)
          break
        case 'anchor':
          if (holds(instruction.at, text, at)) push(current + 1)
          break
        case 'match':
          matched = true
      }
    }
    return matched
  }

  private compile(node: PatternNode): void {
    if (++this.visits > MAX_STATES * 4) throw this.tooLarge() // bodies without states, `(){9999}` in itself
    switch (node.kind) {
      case 'character':
        this.emit({ op: 'character', accepts: node.accepts })
        return
      case 'anchor':
        this.emit({ op: 'anchor', at: node.at })
        return
      case 'sequence':
        for (const item of node.items) this.compile(item)
        return
      case 'choice':
        this.compileChoice(node.options)
        return
      case 'repeat':
        this.compileRepeat(node.item, node.least, node.most)
    }
  }

  private compileChoice(options: readonly PatternNode[]): void {
    const jumps: { a: number; b: number }[] = []
    options.forEach((option, i) => {
      if (i === options.length - 1) return this.compile(option)
      const fork = this.split()
      fork.a = this.program.length
      this.compile(option)
      jumps.push(this.split())
      fork.b = this.program.length
    })
    for (const jump of jumps) jump.a = jump.b = this.program.length
  }

  private compileRepeat(item: PatternNode, least: number, most: number): void {
    for (let i = 0; i < least; i++) this.compile(item)
    if (most === Infinity) {
      const start = this.program.length
      const fork = this.split()
      fork.a = this.program.length
      this.compile(item)
      const back = this.split()
      back.a = back.b = start
      fork.b = this.program.length
      return
    }
    const forks: { a: number; b: number }[] = []
    for (let i = least; i < most; i++) {
      const fork = this.split()
      fork.a = this.program.length
      forks.push(fork)
      this.compile(item)
    }
    for (const fork of forks) fork.b = this.program.length
  }

  private split(): { a: number; b: number } {
    const instruction = { op: 'split' as const, a: 0, b: 0 }
    this.emit(instruction)
    return instruction
  }

  private emit(instruction: Instruction): void {
    if (this.program.length >= MAX_STATES) throw this.tooLarge()
    this.program.push(instruction)
  }

  private tooLarge(): UnsupportedError {
    return new UnsupportedError(`the pattern ${quoted(this.source)} needs more than ${MAX_STATES} states; simplify it.`, { file: this.file })
  }
}

function holds(anchor: PatternAnchor, text: readonly number[], at: number): boolean {
  switch (anchor) {
    case 'textStart':
      return at === 0
    case 'textEnd':
      return at === text.length
    case 'lineEnd':
      return at === text.length || (at === text.length - 1 && text[at] === 0x0a)
    case 'wordEdge':
      return isWordAt(text, at - 1) !== isWordAt(text, at)
    case 'notWordEdge':
      return text.length > 0 && isWordAt(text, at - 1) === isWordAt(text, at) // before 3.14 Python's \B fails on an empty text
  }
}

function isWordAt(text: readonly number[], at: number): boolean {
  const codePoint = text[at]
  return codePoint !== undefined && isWordCharacter(codePoint)
}
