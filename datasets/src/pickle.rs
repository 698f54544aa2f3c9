//! Pickles that hold a dictionary of numpy arrays and lists, as Python 2 and 3 write them with protocol 2.
//!
//! A pickle is a program that builds objects. This reader knows the instructions that data needs and runs no code: of all that a pickle can call, it
//! knows what numpy's arrays are made of. (The crate serde-pickle skips over all other calls in silence, loses the type of an array, and overflows the
//! stack on lists nested deeply.)
//!
//! Values lie in one vector and refer to each other by index: nothing recurses, and a value used a thousand times is stored once, so that memory stays
//! proportional to the file. The number of instructions has a bound, and with it that of values.

use std::{borrow::Cow, collections::HashMap};

/// Instructions of a pickle at most. An instruction of a byte can make a value of forty: without a bound, a file of bare opcodes would take many times
/// its size. The largest real files, CIFAR-100's written by Python 3, have about half as many instructions, and under 300,000 values.
const MOST: usize = 1 << 20;

/// A dictionary, unpickled.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    values: Vec<Value<'a>>,
    root: usize,
}

/// A numpy array.
#[derive(Debug, PartialEq)]
pub(super) struct Array<'a> {
    /// The type as numpy abbreviates it; uint8 is `u1`.
    pub dtype: String,
    /// Its dimensions.
    pub shape: Vec<i64>,
    /// Whether the first dimension varies fastest.
    pub fortran: bool,
    /// The elements.
    pub bytes: Cow<'a, [u8]>,
}

/// A value; others are referred to by their index.
#[derive(Clone, Debug)]
enum Value<'a> {
    None,
    /// Booleans too, as in Python.
    Int(i64),
    /// Python 2's `str` and Python 3's `str`.
    Bytes(&'a [u8]),
    Text(&'a str),
    /// Python 3's `bytes` in protocol 2: text to be encoded in latin1. Encoded where it is used: there it is used once.
    Latin1(&'a str),
    List(Vec<usize>),
    Tuple(Vec<usize>),
    Dict(Vec<usize>),
    /// What a pickle may call.
    Reconstruct,
    Ndarray,
    DtypeOf,
    Encode,
    /// The name of a type.
    Dtype(usize),
    /// The state of an array, once it has one.
    Array(Option<usize>),
}

impl Value<'_> {
    fn kind(&self) -> &'static str {
        match self {
            Value::None => "None",
            Value::Int(_) => "a whole number",
            Value::Bytes(_) | Value::Text(_) | Value::Latin1(_) => "a string",
            Value::List(_) => "a list",
            Value::Tuple(_) => "a tuple",
            Value::Dict(_) => "a dictionary",
            Value::Reconstruct | Value::Ndarray | Value::DtypeOf | Value::Encode => "a function",
            Value::Dtype(_) => "a numpy type",
            Value::Array(_) => "a numpy array",
        }
    }

    /// Strings as text, for comparison with names.
    fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Value::Bytes(bytes) => Some(String::from_utf8_lossy(bytes)),
            Value::Text(text) | Value::Latin1(text) => Some((*text).into()),
            _ => None,
        }
    }
}

impl<'a> Pickle<'a> {
    /// Take a pickle apart.
    ///
    /// # Errors
    /// A pickle that is truncated, or damaged, or has instructions beyond those of data or too many of them; with the offset.
    pub fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let (values, stack, marks) = (Vec::new(), Vec::new(), Vec::new());
        let mut machine = Machine { bytes, at: 0, values, stack, marks, memo: HashMap::new() };
        for _ in 0..MOST {
            let at = machine.at;
            match machine.step() {
                Ok(None) => {}
                Ok(Some(root)) => return Ok(Self { values: machine.values, root }),
                Err(problem) => {
                    return Err(format!("the pickle is not usable at byte {at}: {problem}"));
                }
            }
        }
        Err(format!(
            "the pickle is not usable at byte {}: it makes more than {MOST} values or steps, and a real file under half of them; it is damaged or another: fetch it again",
            machine.at
        ))
    }

    /// The numpy array of a key.
    pub fn array(&self, key: &str) -> Result<Array<'a>, String> {
        let value = self.get(key)?;
        let Value::Array(Some(state)) = value else {
            return Err(format!("`{key}` is {}, not a numpy array", value.kind()));
        };
        let unusual = || {
            format!("the state of the numpy array `{key}` is not (1, shape, dtype, order, bytes)")
        };
        let Some([_, shape, dtype, order, data]) = self.items(*state) else {
            return Err(unusual());
        };
        let (Value::Dtype(name), Value::Int(order)) = (&self.values[*dtype], &self.values[*order])
        else {
            return Err(unusual());
        };
        let shape = self.items(*shape).and_then(|shape| self.ints(shape)).ok_or_else(unusual)?;
        let bytes = match self.values[*data] {
            Value::Bytes(bytes) => bytes.into(),
            Value::Latin1(text) => text
                .chars()
                .map(|c| u8::try_from(u32::from(c)))
                .collect::<Result<Vec<u8>, _>>()
                .map_err(|_| {
                    format!("the bytes of the numpy array `{key}` hold characters beyond latin1")
                })?
                .into(),
            _ => return Err(unusual()),
        };
        let dtype = self.values[*name].text().ok_or_else(unusual)?.into_owned();
        Ok(Array { dtype, shape, fortran: *order != 0, bytes })
    }

    /// The whole numbers of the list of a key.
    pub fn integers(&self, key: &str) -> Result<Vec<i64>, String> {
        match self.get(key)? {
            Value::List(items) => self
                .ints(items)
                .ok_or_else(|| format!("the list `{key}` does not hold whole numbers alone")),
            other => Err(format!("`{key}` is {}, not a list", other.kind())),
        }
    }

    fn get(&self, key: &str) -> Result<&Value<'a>, String> {
        let Value::Dict(items) = &self.values[self.root] else {
            return Err(format!(
                "the pickle holds {}, not a dictionary",
                self.values[self.root].kind()
            ));
        };
        let name = |pair: &[usize]| self.values[pair[0]].text();
        // A later value replaces an earlier one, as in Python.
        match items.chunks_exact(2).rev().find(|pair| name(pair).as_deref() == Some(key)) {
            Some(pair) => Ok(&self.values[pair[1]]),
            None => {
                let keys: Vec<_> = items.chunks_exact(2).take(10).filter_map(name).collect();
                Err(format!("the pickle has no key `{key}`; it has {keys:?}"))
            }
        }
    }

    fn items(&self, tuple: usize) -> Option<&[usize]> {
        match &self.values[tuple] {
            Value::Tuple(items) => Some(items),
            _ => None,
        }
    }

    fn ints(&self, items: &[usize]) -> Option<Vec<i64>> {
        items
            .iter()
            .map(|&i| if let Value::Int(v) = self.values[i] { Some(v) } else { None })
            .collect()
    }
}

/// The state of a pickle's program.
struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    values: Vec<Value<'a>>,
    stack: Vec<usize>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u32, usize>,
}

impl<'a> Machine<'a> {
    /// One instruction; the result after the last one.
    fn step(&mut self) -> Result<Option<usize>, String> {
        let [opcode] = self.array()?;
        let value = match opcode {
            // PROTO
            0x80 => {
                let [version] = self.array()?;
                if version != 2 {
                    return Err(format!(
                        "it is of protocol {version}; write it with pickle.dump(…, protocol=2)"
                    ));
                }
                return Ok(None);
            }
            // STOP
            b'.' => return self.pop().map(Some),
            b'(' => {
                self.marks.push(self.stack.len());
                return Ok(None);
            }
            b'N' => Value::None,
            // NEWTRUE, NEWFALSE
            0x88 => Value::Int(1),
            0x89 => Value::Int(0),
            // BININT1, BININT2, BININT
            b'K' => Value::Int(u8::from_le_bytes(self.array()?).into()),
            b'M' => Value::Int(u16::from_le_bytes(self.array()?).into()),
            b'J' => Value::Int(i32::from_le_bytes(self.array()?).into()),
            // SHORT_BINSTRING, BINSTRING, BINUNICODE
            b'U' => {
                let [length] = self.array()?;
                Value::Bytes(self.take(length.into())?)
            }
            b'T' => Value::Bytes(self.long()?),
            b'X' => {
                let text = std::str::from_utf8(self.long()?);
                Value::Text(text.map_err(|error| format!("its text is no UTF-8 ({error})"))?)
            }
            b']' => Value::List(Vec::new()),
            b'}' => Value::Dict(Vec::new()),
            b')' => Value::Tuple(Vec::new()),
            b't' => Value::Tuple(self.since_mark()?),
            // TUPLE1, TUPLE2, TUPLE3
            0x85..=0x87 => Value::Tuple(self.last(usize::from(opcode - 0x84))?),
            // BINPUT, LONG_BINPUT, BINGET, LONG_BINGET
            b'q' | b'r' | b'h' | b'j' => {
                let place = if matches!(opcode, b'q' | b'h') {
                    u8::from_le_bytes(self.array()?).into()
                } else {
                    u32::from_le_bytes(self.array()?)
                };
                if matches!(opcode, b'q' | b'r') {
                    let top = self.top()?;
                    self.memo.insert(place, top);
                } else {
                    let value = self
                        .memo
                        .get(&place)
                        .ok_or_else(|| format!("nothing was kept under {place}"))?;
                    self.stack.push(*value);
                }
                return Ok(None);
            }
            // APPEND, APPENDS, SETITEM, SETITEMS
            b'a' | b'e' | b's' | b'u' => {
                let items = match opcode {
                    b'a' => self.last(1)?,
                    b's' => self.last(2)?,
                    _ => self.since_mark()?,
                };
                let pairs = matches!(opcode, b's' | b'u');
                let top = self.top()?;
                match &mut self.values[top] {
                    Value::List(list) if !pairs => list.extend(items),
                    Value::Dict(dict) if pairs && items.len() % 2 == 0 => dict.extend(items),
                    other => {
                        return Err(format!("it puts {} items into {}", items.len(), other.kind()));
                    }
                }
                return Ok(None);
            }
            // GLOBAL
            b'c' => self.global()?,
            // REDUCE
            b'R' => self.call()?,
            // BUILD
            b'b' => {
                let (state, top) = (self.pop()?, self.top()?);
                match &mut self.values[top] {
                    Value::Array(of) => *of = Some(state),
                    // Its byte order; uint8 has none.
                    Value::Dtype(_) => {}
                    other => return Err(format!("it sets the state of {}", other.kind())),
                }
                return Ok(None);
            }
            other => {
                return Err(format!(
                    "instruction {other:#04x} is none of those that data needs; the file is damaged, or write it with pickle.dump(…, protocol=2)"
                ));
            }
        };
        self.stack.push(self.values.len());
        self.values.push(value);
        Ok(None)
    }

    /// The function of a name.
    fn global(&mut self) -> Result<Value<'a>, String> {
        let (module, name) = (self.line()?, self.line()?);
        match (&*module, &*name) {
            // numpy 2 renamed it.
            ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => {
                Ok(Value::Reconstruct)
            }
            ("numpy", "ndarray") => Ok(Value::Ndarray),
            ("numpy", "dtype") => Ok(Value::DtypeOf),
            ("_codecs", "encode") => Ok(Value::Encode),
            _ => Err(format!(
                "it refers to `{module}.{name}`. Code in pickles is never run: only numbers, strings, lists, dictionaries and numpy arrays are read. \
                 Take the original file"
            )),
        }
    }

    /// What the function on the stack gives for the arguments on the stack.
    fn call(&mut self) -> Result<Value<'a>, String> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let Value::Tuple(arguments) = &self.values[arguments] else {
            return Err("it calls a function without a tuple of arguments".into());
        };
        let argument = |i: usize| arguments.get(i).map(|&a| &self.values[a]);
        match (&self.values[function], argument(0), argument(1)) {
            (Value::Reconstruct, Some(Value::Ndarray), _) => Ok(Value::Array(None)),
            (Value::DtypeOf, Some(name), _) if name.text().is_some() => {
                Ok(Value::Dtype(arguments[0]))
            }
            (Value::Encode, Some(Value::Text(text)), Some(Value::Text("latin1"))) => {
                Ok(Value::Latin1(text))
            }
            (other, ..) => Err(format!(
                "it calls {} with arguments that numpy's arrays do not have",
                other.kind()
            )),
        }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        let rest = &self.bytes[self.at..];
        let found = rest.get(..length).ok_or_else(|| {
            format!("{length} bytes should follow, but {} do: the file is truncated or damaged; fetch it again", rest.len())
        })?;
        self.at += length;
        Ok(found)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    /// Bytes after their number.
    fn long(&mut self) -> Result<&'a [u8], String> {
        let length = u32::from_le_bytes(self.array()?);
        self.take(length as usize)
    }

    fn line(&mut self) -> Result<Cow<'a, str>, String> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().take(256).position(|&b| b == b'\n').ok_or("a name has no end")?;
        self.at += end + 1;
        Ok(String::from_utf8_lossy(&rest[..end]))
    }

    fn pop(&mut self) -> Result<usize, String> {
        self.last(1).map(|last| last[0])
    }

    fn top(&self) -> Result<usize, String> {
        self.stack.last().copied().ok_or_else(|| EMPTY.into())
    }

    fn last(&mut self, count: usize) -> Result<Vec<usize>, String> {
        let from = self.stack.len().checked_sub(count).ok_or(EMPTY)?;
        Ok(self.stack.split_off(from))
    }

    fn since_mark(&mut self) -> Result<Vec<usize>, String> {
        let mark = self.marks.pop().filter(|&mark| mark <= self.stack.len());
        Ok(self.stack.split_off(mark.ok_or("there is no mark")?))
    }
}

/// An instruction that takes more than was put.
const EMPTY: &str = "an instruction takes values that are not there";

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(bytes: &[u8]) -> String {
        Pickle::read(bytes).unwrap_err()
    }

    #[test]
    fn numbers_and_strings_are_read() {
        let bytes = b"\x80\x02}q\x00(U\x01aq\x01](K\x07M\x00\x01J\xff\xff\xff\xff\x88eX\x01\x00\x00\x00bh\x01uU\x01c]K\x05as.";
        let pickle = Pickle::read(bytes).unwrap();
        assert_eq!(pickle.integers("a"), Ok(vec![7, 256, -1, 1]));
        assert_eq!(pickle.integers("c"), Ok(vec![5]));
        assert_eq!(pickle.integers("b"), Err("`b` is a string, not a list".into()));
        assert_eq!(pickle.array("a"), Err("`a` is a list, not a numpy array".into()));
        assert!(
            pickle.integers("d").unwrap_err().contains(r#"no key `d`; it has ["a", "b", "c"]"#)
        );
    }

    #[test]
    fn code_is_refused_by_name_and_never_run() {
        let message = problem(b"\x80\x02}cos\nsystem\nU\x02ls\x85R.");
        assert!(message.starts_with("the pickle is not usable at byte 3: it refers to `os.system`. Code in pickles is never run"), "{message}");
        for name in
            ["numpy\nload", "builtins\neval", "numpy.core.multiarray\nfromfile", "\u{fe}\n\u{ff}"]
        {
            assert!(problem(format!("c{name}\n.").as_bytes()).contains("is never run"));
        }
        // Calls of what is no function, or of functions with other arguments.
        for call in [
            "]]\u{85}R.",
            "cnumpy\nndarray\n)R.",
            "c_codecs\nencode\n]R.",
            "c_codecs\nencode\nN\u{85}R.",
        ] {
            let bytes: Vec<u8> = call.chars().map(|c| c as u8).collect();
            assert!(problem(&bytes).contains("it calls "), "{call:?}");
        }
        assert!(problem(b"]Nb.").contains("it sets the state of a list"));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let endless = [b"c".as_slice(), &[b'a'; 1000]].concat();
        for (bytes, at, expected) in [
            (b"".as_slice(), 0, "1 bytes should follow, but 0 do: the file is truncated"),
            (b".", 0, "values that are not there"),
            (b"NN0", 2, "instruction 0x30 is none of those that data needs"),
            (b"t", 0, "no mark"),
            // A mark above the stack that is left.
            (b"NN(\x86a", 4, "values that are not there"),
            (b"]N(\x86t", 4, "no mark"),
            (b"h\x00", 0, "nothing was kept under 0"),
            (b"}(Nu", 3, "it puts 1 items into a dictionary"),
            (b"NT\xff\xff\xff\xff", 1, "4294967295 bytes should follow, but 0 do"),
            (b"X\x01\x00\x00\x00\xff", 0, "no UTF-8"),
            (b"\x80\x05.", 0, "protocol=2"),
            (&endless, 0, "no end"),
        ] {
            let message = problem(bytes);
            let place = format!("the pickle is not usable at byte {at}: ");
            assert!(message.starts_with(&place) && message.contains(expected), "{message}");
        }
        assert!(
            Pickle::read(b"N.")
                .unwrap()
                .integers("a")
                .unwrap_err()
                .contains("holds None, not a dictionary")
        );
    }

    #[test]
    fn values_without_end_are_refused() {
        // Values, marks, values kept, and values put again.
        for instruction in ["]", "(", "q\x00", "h\x00"] {
            let bytes = format!("Nq\x00{}.", instruction.repeat(MOST));
            let message = problem(bytes.as_bytes());
            assert!(message.contains("more than 1048576 values or steps"), "{message}");
        }
        let most = [vec![b'N'; MOST - 1], vec![b'.']].concat();
        assert_eq!(Pickle::read(&most).unwrap().values.len(), MOST - 1);
    }

    #[test]
    fn nesting_and_sharing_cost_no_more_than_the_file() {
        // Lists, each in the next, as deep as there are; dropped without recursion.
        let deep = [vec![b']'; 300_000], vec![b'a'; 299_999], vec![b'.']].concat();
        assert_eq!(Pickle::read(&deep).unwrap().values.len(), 300_000);
        // A list that holds itself.
        assert_eq!(Pickle::read(b"]q\x00h\x00a.").unwrap().values.len(), 1);
        // Tuples of a tuple twice, 255 times over: 2^255 values, were they copied.
        let mut shared = b")q\x00".to_vec();
        for i in 0..255 {
            shared.extend([b'h', i, b'h', i, 0x86, b'q', i + 1]);
        }
        assert_eq!(Pickle::read(&[shared.as_slice(), b"."].concat()).unwrap().values.len(), 256);
    }
}
