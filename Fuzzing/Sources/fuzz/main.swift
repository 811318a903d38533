import CFuzzer
import Foundation

/// `fuzz TARGET ARGUMENTS…`: what libFuzzer makes of the arguments, for one of the targets. Without any: the names of the targets.
let arguments = CommandLine.arguments
guard arguments.count > 1, let chosen = targets[arguments[1]] else {
    for name in targets.keys.sorted() { print(name) }
    exit(arguments.count > 1 ? 64 : 0)
}
let target = chosen

// The C boundary: libFuzzer wants argc and argv, without the target's name, and a callback that captures nothing.
var argumentCount = CommandLine.argc - 1
var pointers: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = CommandLine.unsafeArgv
pointers?[1] = CommandLine.unsafeArgv[0]
pointers = pointers?.advanced(by: 1)
exit(
    LLVMFuzzerRunDriver(&argumentCount, &pointers) { bytes, count in
        target(Array(UnsafeBufferPointer(start: bytes, count: count)))
        return 0
    }
)
