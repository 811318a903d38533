/// A part that depends on a server, and can try whether that server answers as it should.
///
/// **Use one.** `token-broker check --live` tries all parts of a composed broker.
///
/// **Write one.** One call that changes nothing. What is said must be safe to show: never what the server said.
public protocol LiveChecking: Sendable {
    /// What is tried, such as `keys at login.example`.
    var checked: String { get }

    /// Tries it.
    /// - Returns: What was found, such as `2 keys for signatures`.
    /// - Throws: ``TokenError``, whose message says what is wrong.
    func check() async throws(TokenError) -> String
}
