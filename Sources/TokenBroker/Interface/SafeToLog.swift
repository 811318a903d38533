/// An error whose description may be logged: it contains nothing of a request, a secret or a server's response.
///
/// Of any other error, only the type is logged.
///
/// **Write one.** Conform your own error if you have written its text yourself.
public protocol SafeToLog: Error, CustomStringConvertible {}

/// Returns the description of an error that is ``SafeToLog``, or else the name of its type.
package func loggable(_ error: any Error) -> String { (error as? any SafeToLog)?.description ?? "\(type(of: error))" }
