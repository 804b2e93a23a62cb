
/* What the candidate defined as macros must not change what the assertions mean. The first item
 * takes an attribute that the candidate may have left open. */
const _: () = ();
#[allow(unused_macros)]
macro_rules! assert { ($($tokens:tt)*) => { ::core::assert!($($tokens)*) } }
#[allow(unused_macros)]
macro_rules! assert_eq { ($($tokens:tt)*) => { ::core::assert_eq!($($tokens)*) } }
#[allow(unused_macros)]
macro_rules! assert_ne { ($($tokens:tt)*) => { ::core::assert_ne!($($tokens)*) } }
#[allow(unused_macros)]
macro_rules! panic { ($($tokens:tt)*) => { ::std::panic!($($tokens)*) } }
