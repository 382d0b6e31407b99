//! The torture tests of RFC 4475 (all 49 messages) and RFC 5118 (all ten sections): each test draws a message of the same intent in our own words
//! and asserts the answer of the whole PBX, from the datagram to the response. A test is named after its section.
//!
//! | RFC 4475 | message | answer here |
//! |---|---|---|
//! | 3.1.1.1 | short tortuous INVITE | served; with a To tag 481 |
//! | 3.1.1.2 | wide range of characters | 405 + Allow, Call-ID, CSeq, branch as they came |
//! | 3.1.1.3 | valid escapes | served: the number is found behind its escapes |
//! | 3.1.1.4 | escaped NULs | 403 (`anna%00` is not `anna`); contacts with one and two NULs are two |
//! | 3.1.1.5 | `%` that escapes nothing | 405: not taken for REGISTER |
//! | 3.1.1.6 | no blank before `<` | 200 |
//! | 3.1.1.7 | long values | served, 34 Vias returned |
//! | 3.1.1.8 | octets behind the message | 401 to the REGISTER, nothing to what follows |
//! | 3.1.1.9 | parameters in the user part | 200, the user is not cut |
//! | 3.1.1.10 | known and unknown transports | 200 |
//! | 3.1.1.11 | multipart body | MESSAGE: 405; INVITE with a description among the parts: served |
//! | 3.1.1.12 | unusual reason phrase | a 2xx like others: ACK |
//! | 3.1.1.13 | empty reason phrase | a provisional response like others |
//! | 3.1.2.1 | separators too many | 400 in Via; passed over behind a Contact |
//! | 3.1.2.2 | Content-Length too large | 400; too small: the body is cut |
//! | 3.1.2.3 | Content-Length negative | 400 |
//! | 3.1.2.4 | overlarge numbers in a request | 400 for CSeq and Max-Forwards; Expires counts as the most that is granted |
//! | 3.1.2.5 | overlarge numbers in a response | dropped and counted; a large Retry-After alone does no harm |
//! | 3.1.2.6 | quoted string without end | 400 |
//! | 3.1.2.7 | Request-URI in brackets | 400 |
//! | 3.1.2.8 | blank within the Request-URI | 400 |
//! | 3.1.2.9 | blanks around the Request-URI | 400 |
//! | 3.1.2.10 | blanks behind the request line | 200 |
//! | 3.1.2.11 | headers in the Request-URI | served, the headers passed over |
//! | 3.1.2.12 | Date in another zone | served |
//! | 3.1.2.13 | Contact with `?` and no brackets | 400 |
//! | 3.1.2.14 | blanks within brackets | 200 |
//! | 3.1.2.15 | display name that should be quoted | 200 |
//! | 3.1.2.16 | SIP/7.0 | 505 |
//! | 3.1.2.17 | CSeq of another method | 400 |
//! | 3.1.2.18 | the same, method unknown | 501 + Allow |
//! | 3.1.2.19 | overlarge status | dropped and counted |
//! | 3.2.1 | branch is the cookie alone | each request answered, retransmissions known by their whole form |
//! | 3.3.1 | mandatory headers missing | 400, the Warning names the first |
//! | 3.3.2 | unknown scheme | 416 |
//! | 3.3.3 | scheme known elsewhere | 416 |
//! | 3.3.4 | other schemes in headers | REGISTER: 400; INVITE: served |
//! | 3.3.5 | Require and Proxy-Require | 420, Unsupported lists the first only |
//! | 3.3.6 | unknown body | 415 + Accept; encoded: 415 + Accept-Encoding; optional: served |
//! | 3.3.7 | unknown authorization scheme | 401 |
//! | 3.3.8 | single headers twice | 400 |
//! | 3.3.9 | two Content-Lengths | 400 |
//! | 3.3.10 | 200 with a broadcast Via behind ours | dropped and counted, no ACK |
//! | 3.3.11 | Max-Forwards 0 | OPTIONS: 200; INVITE: 483 |
//! | 3.3.12 | parameter behind a bare Contact | kept as the Contact's |
//! | 3.3.13 | parameter within brackets | kept as the URI's |
//! | 3.3.14 | header within the Contact's URI | kept; not put into a Request-URI |
//! | 3.3.15 | Accept without SDP | 406 |
//! | 3.4.1 | INVITE of RFC 2543 | served, retransmissions and BYE known without branch and tag |
//!
//! | RFC 5118 | message | answer here |
//! |---|---|---|
//! | 4.1 | valid reference | 401 (a REGISTER like others) |
//! | 4.2 | no brackets | 400 |
//! | 4.3 | port within the brackets | 401; it is part of the address |
//! | 4.4 | port behind the brackets | 401; it is the port |
//! | 4.5 | `received` with and without brackets | 481 (no such dialog), `received` is ours |
//! | 4.6 | description with IPv6 | served over IPv6 |
//! | 4.7 | both families in headers | 481, every Via returned |
//! | 4.8 | both families in a description | served where the audio's family is the listener's; else 488 |
//! | 4.9 | mapped addresses | served over IPv4 |
//! | 4.10 | three colons | 400; two: 200 |

mod caller;
mod invalid;
mod ipv6;
mod layers;
mod rig;
mod valid;
