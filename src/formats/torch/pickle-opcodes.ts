/**
 * Opcodes of pickle protocols 2 to 5: what is done for those that tensors need, and names of those that are refused.
 *
 * Law: CPython pickletools.py. torch's weights_only knows protocols 2 and 3 only; 4 and 5 are as harmless, and tools write them.
 */
import type { PickleMachine } from './pickle-machine.js'
import type { PickleReader } from './pickle-reader.js'
import { INERT, type PickleValue } from './pickle-values.js'

type Step = (machine: PickleMachine, reader: PickleReader) => void

const push =
  (value: (reader: PickleReader) => PickleValue): Step =>
  (machine, reader) =>
    machine.push(value(reader))

const tuple =
  (length: number): Step =>
  (machine) =>
    machine.push({ kind: 'tuple', items: machine.popMany(length) })

const newDict = (): PickleValue => ({ kind: 'dict', ordered: false, entries: new Map() })

/** By opcode. STOP and FRAME are the machine's own. */
export const STEPS: ReadonlyMap<number, Step> = new Map<number, Step>([
  [0x28, (machine) => machine.mark()], // MARK
  [0x30, (machine) => machine.popOrMark()], // POP
  [0x31, (machine) => void machine.popToMark()], // POP_MARK
  [0x32, (machine) => machine.duplicate()], // DUP
  [0x4e, push(() => null)], // NONE
  [0x88, push(() => true)], // NEWTRUE
  [0x89, push(() => false)], // NEWFALSE
  [0x4a, push((reader) => BigInt(reader.i32()))], // BININT
  [0x4b, push((reader) => BigInt(reader.u8()))], // BININT1
  [0x4d, push((reader) => BigInt(reader.u16()))], // BININT2
  [0x8a, push((reader) => reader.long(reader.u8()))], // LONG1
  [0x8b, push((reader) => reader.long(signedLength(reader)))], // LONG4
  [0x47, push((reader) => reader.f64())], // BINFLOAT
  [0x8c, push((reader) => reader.text(reader.u8()))], // SHORT_BINUNICODE
  [0x58, push((reader) => reader.text(reader.u32()))], // BINUNICODE
  [0x8d, push((reader) => reader.text(reader.u64()))], // BINUNICODE8
  [0x55, push((reader) => reader.oldText(reader.u8()))], // SHORT_BINSTRING
  [0x54, push((reader) => reader.oldText(signedLength(reader)))], // BINSTRING
  [0x43, push((reader) => reader.take(reader.u8()))], // SHORT_BINBYTES
  [0x42, push((reader) => reader.take(reader.u32()))], // BINBYTES
  [0x8e, push((reader) => reader.take(reader.u64()))], // BINBYTES8
  [0x96, push((reader) => (reader.take(reader.u64()), INERT))], // BYTEARRAY8
  [0x29, push(() => ({ kind: 'tuple', items: [] }))], // EMPTY_TUPLE
  [0x5d, push(() => ({ kind: 'list', items: [] }))], // EMPTY_LIST
  [0x7d, push(newDict)], // EMPTY_DICT
  [0x8f, push(() => ({ kind: 'set', items: [] }))], // EMPTY_SET
  [0x85, tuple(1)], // TUPLE1
  [0x86, tuple(2)], // TUPLE2
  [0x87, tuple(3)], // TUPLE3
  [0x74, (machine) => machine.push({ kind: 'tuple', items: machine.popToMark() })], // TUPLE
  [0x91, (machine) => machine.push({ kind: 'set', items: machine.popToMark() })], // FROZENSET
  [0x61, (machine) => machine.append(machine.popMany(1))], // APPEND
  [0x65, (machine) => machine.append(machine.popToMark())], // APPENDS
  [0x90, (machine) => machine.addToSet(machine.popToMark())], // ADDITEMS
  [0x73, (machine) => machine.setItems(machine.popMany(2))], // SETITEM
  [0x75, (machine) => machine.setItems(machine.popToMark())], // SETITEMS
  [0x71, (machine, reader) => machine.put(reader.u8())], // BINPUT
  [0x72, (machine, reader) => machine.put(reader.u32())], // LONG_BINPUT
  [0x94, (machine) => machine.memoize()], // MEMOIZE
  [0x68, (machine, reader) => machine.get(reader.u8())], // BINGET
  [0x6a, (machine, reader) => machine.get(reader.u32())], // LONG_BINGET
  [0x63, (machine, reader) => machine.global(reader.line(), reader.line())], // GLOBAL
  [0x93, (machine) => machine.stackGlobal()], // STACK_GLOBAL
  [0x51, (machine) => machine.persistentId()], // BINPERSID
  [0x52, (machine) => machine.reduce()], // REDUCE
  [0x81, (machine) => machine.reduce()], // NEWOBJ: a class instead of a function, with the same meaning for all that are allowed
  [0x62, (machine) => machine.build()], // BUILD
])

/** Opcodes that no checkpoint needs: classes by other ways, the registry, text of protocol 0 (slow to parse), out-of-band buffers. */
export const REFUSED: ReadonlyMap<number, string> = new Map([
  [0x69, 'INST'],
  [0x6f, 'OBJ'],
  [0x92, 'NEWOBJ_EX'],
  [0x82, 'EXT1'],
  [0x83, 'EXT2'],
  [0x84, 'EXT4'],
  [0x50, 'PERSID'],
  [0x97, 'NEXT_BUFFER'],
  [0x98, 'READONLY_BUFFER'],
  [0x49, 'INT'],
  [0x4c, 'LONG'],
  [0x53, 'STRING'],
  [0x56, 'UNICODE'],
  [0x46, 'FLOAT'],
  [0x67, 'GET'],
  [0x70, 'PUT'],
  [0x64, 'DICT'],
  [0x6c, 'LIST'],
])

function signedLength(reader: PickleReader): number {
  const length = reader.i32()
  if (length < 0) throw reader.fault(`has a negative length, ${length}.`)
  return length
}
