/// A part that depends on a server and can check whether that server responds as expected.
///
/// **Use one.** `token-broker check --live` runs the check of every part of a composed broker.
///
/// **Write one.** Make one call that changes nothing. The result must be safe to show, so never include what the server
/// said.
public protocol LiveChecking: Sendable {
    /// What is checked, such as `keys at login.example`.
    var checked: String { get }

    /// Checks the server.
    ///
    /// - Returns: What was found, such as `2 signature keys`.
    /// - Throws: ``TokenError``, whose message says what is wrong.
    func check() async throws(TokenError) -> String
}
