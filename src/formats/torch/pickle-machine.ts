/**
 * An inert stack machine for pickles: it builds lists, dicts and tensors' descriptions, and nothing else. Nothing is
 * imported, nothing of the file is called, nothing recurses, and what a file can make it keep is bounded.
 */
import { FormatError, quoted, UnsupportedError, ruled } from '../../core/errors.js'
import { callGlobal } from './pickle-calls.js'
import { GLOBALS, HONEST_MISTAKES } from './pickle-globals.js'
import { REFUSED, STEPS } from './pickle-opcodes.js'
import { PickleReader, type PicklePlace } from './pickle-reader.js'
import { describe, isNode, setItem, type PickleValue, type StorageNode } from './pickle-values.js'

const MOST_STACK = 1_000_000
const MOST_PUSHES = 8_000_000 // a checkpoint of 91,000 tensors (DeepSeek V3) makes 2.3 million
const MOST_MEMO = 4_000_000
const SMALLEST_FRAME_BYTES = 4 // what is shorter, Python writes without a frame
const LARGE_BYTES = 65_536 // texts and bytes from this length on stand between frames
const PROTO = 0x80
const FRAME = 0x95
const STOP = 0x2e
const FIRST_PROTOCOL = 2
const LAST_PROTOCOL = 5

/** Finds the storage of a persistent id, whose parts are untrusted. @throws ToolkitError by `fail` */
export type FindStorage = (id: readonly PickleValue[], fail: (what: string) => FormatError) => StorageNode

/**
 * Reads one pickle.
 * @param position     where it begins in `bytes`
 * @param findStorage  gives meaning to persistent ids; without it they are refused
 * @returns its value, and where it ends
 * @throws FormatError naming the offset; UnsupportedError for what is harmless, but not a dense tensor
 */
export function readPickle(bytes: Uint8Array, position: number, place: PicklePlace, findStorage?: FindStorage): { value: PickleValue; end: number } {
  const machine = new PickleMachine(new PickleReader(bytes, position, place), findStorage)
  return ruled('PT05', () => machine.run())
}

export class PickleMachine {
  private readonly reader: PickleReader
  private readonly findStorage: FindStorage | undefined
  private readonly stack: PickleValue[] = []
  private readonly marks: number[] = []
  private readonly memo = new Map<number, PickleValue>()
  private pushes = 0
  private opcodeAt = 0
  private frameEnd: number | undefined
  /** Where opcodes outside of frames began, once there was a frame. */
  private looseFrom: number | undefined

  constructor(reader: PickleReader, findStorage: FindStorage | undefined) {
    this.reader = reader
    this.findStorage = findStorage
  }

  run(): { value: PickleValue; end: number } {
    const { reader } = this
    if (reader.position >= reader.end || reader.u8() !== PROTO) throw this.fault('is no pickle of protocol 2 to 5.')
    const protocol = reader.u8()
    if (protocol < FIRST_PROTOCOL || protocol > LAST_PROTOCOL) throw this.fault(`is a pickle of protocol ${protocol}; 2 to 5 are read.`)
    for (;;) {
      this.opcodeAt = reader.position
      if (reader.position >= reader.end) throw this.fault('has no STOP: the file is cut short.')
      this.checkFrame()
      const opcode = reader.u8()
      if (opcode === STOP) return this.stop()
      if (opcode === FRAME) this.beginFrame()
      else this.step(opcode)
      this.checkLoose()
    }
  }

  push(value: PickleValue): void {
    if (this.stack.length >= MOST_STACK || ++this.pushes > MOST_PUSHES) throw this.fault('builds more values than any checkpoint: refused.')
    this.stack.push(value)
  }

  mark(): void {
    if (this.marks.length >= MOST_STACK) throw this.fault('sets more marks than any checkpoint: refused.')
    this.marks.push(this.stack.length)
  }

  /** The last `count` values, in their order; those below a mark are out of reach. */
  popMany(count: number): PickleValue[] {
    if (this.stack.length - count < (this.marks.at(-1) ?? 0)) throw this.fault('takes more from the stack than is there.')
    return this.stack.splice(this.stack.length - count, count)
  }

  popToMark(): PickleValue[] {
    const from = this.marks.pop()
    if (from === undefined) throw this.fault('goes back to a mark that was never set.')
    return this.stack.splice(from)
  }

  popOrMark(): void {
    if (this.stack.length > (this.marks.at(-1) ?? 0)) this.stack.pop()
    else if (this.marks.pop() === undefined) throw this.fault('takes more from the stack than is there.')
  }

  duplicate(): void {
    this.push(this.top())
  }

  put(index: number): void {
    if (this.memo.size >= MOST_MEMO) throw this.fault('remembers more values than any checkpoint: refused.')
    this.memo.set(index, this.top())
  }

  memoize(): void {
    this.put(this.memo.size)
  }

  get(index: number): void {
    const value = this.memo.get(index)
    if (value === undefined) throw this.fault(`recalls value ${index}, which was never remembered.`)
    this.push(value)
  }

  append(items: readonly PickleValue[]): void {
    const list = this.top()
    if (!isNode(list, 'list')) throw this.fault(`appends to ${describe(list)}; only lists grow.`)
    for (const item of items) list.items.push(item)
  }

  addToSet(items: readonly PickleValue[]): void {
    const set = this.top()
    if (!isNode(set, 'set')) throw this.fault(`adds to ${describe(set)}; only sets grow so.`)
    for (const item of items) set.items.push(item)
  }

  setItems(items: readonly PickleValue[]): void {
    const dict = this.top()
    if (!isNode(dict, 'dict')) throw this.fault(`sets an item of ${describe(dict)}; only dicts have items.`)
    if (items.length % 2 !== 0) throw this.fault('sets a key without a value.')
    for (let i = 0; i < items.length; i += 2) {
      const [key = null, value = null] = [items[i], items[i + 1]]
      const fault = setItem(dict, key, value)
      if (fault !== undefined) throw this.fault(fault)
    }
  }

  global(module: string, name: string): void {
    const global = GLOBALS.get(`${module} ${name}`)
    const allowed = ruled('PT01', () => {
      if (global === undefined || module.includes(' ')) throw this.refusedGlobal(`${module}.${name}`)
      if (global.is === 'unsupported') throw new UnsupportedError(global.why, { ...this.reader.place(this.opcodeAt), rule: 'PT09' })
      return global
    })
    this.push({ kind: 'global', name: `${module}.${name}`, global: allowed })
  }

  stackGlobal(): void {
    const [module, name] = this.popMany(2)
    if (typeof module !== 'string' || typeof name !== 'string')
      throw this.fault(`names a global by ${describe(module)} and ${describe(name)}; two texts are wanted. Nothing was run.`)
    this.global(module, name)
  }

  persistentId(): void {
    const [id] = this.popMany(1)
    if (!isNode(id, 'tuple') || this.findStorage === undefined)
      throw this.fault(`has ${describe(id)} as a persistent id; ("storage", type, key, location, count) is wanted.`)
    const { findStorage } = this
    this.push(ruled('PT08', () => findStorage(id.items, (what) => this.fault(what))))
  }

  reduce(): void {
    const [callee, args] = this.popMany(2)
    if (!isNode(callee, 'global')) throw this.fault(`calls ${describe(callee)}; only tensors and containers are built. Nothing was run.`)
    if (!isNode(args, 'tuple')) throw this.fault(`calls ${callee.name} with ${describe(args)}; a tuple is wanted.`)
    this.push(ruled('PT07', () => callGlobal(callee, args.items, (what) => this.fault(what))))
  }

  /** Gives an object its state, which for all that may have one means nothing here. */
  build(): void {
    this.popMany(1)
    const target = this.top()
    const hasState = isNode(target, 'inert') || (isNode(target, 'dict') && target.ordered)
    if (!hasState) throw this.fault(`gives ${describe(target)} a state; only an OrderedDict has one.`)
  }

  private top(): PickleValue {
    const value = this.stack.at(-1)
    if (value === undefined || this.stack.length <= (this.marks.at(-1) ?? 0)) throw this.fault('takes more from the stack than is there.')
    return value
  }

  private step(opcode: number): void {
    const step = STEPS.get(opcode)
    if (step !== undefined) return step(this, this.reader)
    if (opcode === PROTO) throw this.fault('states its protocol twice.')
    const name = REFUSED.get(opcode)
    throw this.fault(
      `has the opcode 0x${opcode.toString(16).padStart(2, '0')}${name === undefined ? '' : ` (${name})`}, which no checkpoint needs: refused, nothing was run.`,
    )
  }

  private stop(): { value: PickleValue; end: number } {
    const [value] = this.popMany(1)
    if (value === undefined || this.stack.length > 0 || this.marks.length > 0) throw this.fault('ends with values left over: it is damaged.')
    const end = this.reader.position
    if (this.frameEnd !== undefined && end > this.frameEnd) throw this.fault('ends outside its frame: it is damaged.')
    return { value, end }
  }

  private beginFrame(): void {
    if (this.frameEnd !== undefined) throw this.fault('begins a frame inside a frame: it is damaged.')
    const length = this.reader.u64()
    if (length > this.reader.end - this.reader.position) throw this.fault(`has a frame of ${length} bytes, more than are left: it is cut short or damaged.`)
    this.frameEnd = this.reader.position + length
    this.looseFrom = undefined
  }

  private checkFrame(): void {
    if (this.frameEnd === undefined || this.reader.position < this.frameEnd) return
    if (this.reader.position > this.frameEnd) throw this.fault('has a frame that ends inside an opcode: it is damaged.')
    this.frameEnd = undefined
    this.looseFrom = this.reader.position
  }

  /** Between frames there are large texts and bytes, and nothing else worth a frame. */
  private checkLoose(): void {
    const { position } = this.reader
    if (position - this.opcodeAt >= LARGE_BYTES && this.looseFrom !== undefined) this.looseFrom = position
    if (this.looseFrom !== undefined && position - this.looseFrom >= SMALLEST_FRAME_BYTES) throw this.fault('goes on outside of its frames: it is damaged.')
  }

  private refusedGlobal(name: string): FormatError | UnsupportedError {
    const place = this.reader.place(this.opcodeAt)
    const mistake = HONEST_MISTAKES.find((row) => row.name.test(name.slice(0, 200)))
    if (mistake !== undefined) return new UnsupportedError(`names the class ${quoted(name)}: ${mistake.says} Nothing was run.`, place)
    return new FormatError(`refuses global ${quoted(name)}; only tensor data is read, nothing was run. Do not use this file.`, place)
  }

  private fault(what: string): FormatError {
    return this.reader.fault(what, this.opcodeAt)
  }
}
