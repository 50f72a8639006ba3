#!/usr/bin/env node
import { loraToGguf } from '../dist/src/cli/lora-to-gguf.js'
import { main } from '../dist/src/cli/main.js'
process.exitCode = await main(loraToGguf, process.argv.slice(2))
