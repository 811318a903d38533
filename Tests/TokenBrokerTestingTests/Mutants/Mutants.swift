import Synchronization
import Testing

/// Expects that `body` records an issue whose text contains `words`: a suite must catch a mutant and report why.
func expectCaught(
    _ words: String, sourceLocation: SourceLocation = #_sourceLocation,
    _ body: @escaping @Sendable () async throws -> Void
) async throws {
    let texts = Mutex<[String]>([])
    try await withKnownIssue("a mutant", sourceLocation: sourceLocation) {
        try await body()
    } matching: { issue in
        let error = issue.error.map { "\($0)" } ?? ""
        let text = "\(issue.comments.map(\.rawValue).joined(separator: " ")) \(error) \(issue.kind)"
        texts.withLock { $0.append(text) }
        return true
    }
    let found = texts.withLock { $0 }
    #expect(
        found.contains { $0.contains(words) }, "expected a failure with “\(words)”, found \(found)",
        sourceLocation: sourceLocation)
}

/// Returns the case with this name.
func only<Case: CustomTestStringConvertible>(_ name: String, of cases: [Case]) throws -> Case {
    try #require(cases.first { $0.testDescription == name }, "there is no case “\(name)”")
}
