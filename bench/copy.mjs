/** A plain file copy in user space, to compare with: reads and writes 8 MB at a time and syncs, as any honest writer does. `node bench/copy.mjs FROM TO` */
import { closeSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs'

const [from, to] = process.argv.slice(2)
const buffer = Buffer.allocUnsafe(8e6)
const [source, target] = [openSync(from, 'r'), openSync(to, 'w')]
for (let read = readSync(source, buffer); read > 0; read = readSync(source, buffer)) writeSync(target, buffer, 0, read)
fsyncSync(target)
for (const file of [source, target]) closeSync(file)
