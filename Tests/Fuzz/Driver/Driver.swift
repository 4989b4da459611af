import Foundation

/// The target that `TASKFLOW_FUZZ_TARGET` names: one program holds them all.
private let chosen: FuzzTarget = {
    let name = ProcessInfo.processInfo.environment["TASKFLOW_FUZZ_TARGET"] ?? ""
    guard let target = FuzzTarget.all.first(where: { $0.name == name }) else {
        fatalError("TASKFLOW_FUZZ_TARGET must name one of \(FuzzTarget.all.map(\.name).joined(separator: ", "))")
    }
    return target
}()

/// What libFuzzer calls. It keeps the bytes in memory of exactly their size, with poisoned memory behind.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ start: UnsafeRawPointer?, _ count: Int) -> Int32 {
    do {
        try chosen.judge(UnsafeRawBufferPointer(start: start, count: count))
    } catch {
        FileHandle.standardError.write(Data("VIOLATION: \(error)\n".utf8))
        abort()
    }
    return 0
}

/// `--list-targets` prints their names and ends.
@_cdecl("LLVMFuzzerInitialize")
public func initialize(_ count: UnsafeMutableRawPointer?, _ arguments: UnsafeMutableRawPointer?) -> Int32 {
    if CommandLine.arguments.contains("--list-targets") {
        print(FuzzTarget.all.map(\.name).joined(separator: "\n"))
        exit(0)
    }
    return 0
}
