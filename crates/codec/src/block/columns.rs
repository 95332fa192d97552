//! The columns of a block as symbols, and what is learnt from one for the next.

use series::{Column, Rows, STALE_NAN, Values};

use super::numbers::{
    LOW_BITS_MAX, Numbers, SMALL_CONTEXTS, SmallContext, best_order, bits, rice_low_bits,
};
use crate::Error;
use crate::bytes::{unzigzag, zigzag};
use crate::ints::{difference, integrate};
use crate::range::{Bit, Decoder, Encoder};
use crate::scale::{EXPONENT_MAX, scale, unscale};

/// In place of a decimal exponent: the integers are bit patterns of floats.
const FLOATS: usize = 31;

const _: () = assert!((EXPONENT_MAX as usize) < FLOATS);

/// What a column has in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cell {
    /// A number among the column's integers.
    Number,
    /// Nothing.
    Gap,
    /// A bit pattern of its own, such as the stale marker.
    Special,
}

impl Cell {
    const ALL: [Self; 4] = [Self::Number, Self::Gap, Self::Special, Self::Special];
}

/// Probabilities of every kind of symbol, and the last column.
#[derive(Debug)]
pub(super) struct Context {
    plain: [Bit; 2],
    again: Bit,
    cell: [[Bit; 4]; 3],
    stale: Bit,
    plan_same: [Bit; 4],
    exponent_same: Bit,
    exponent: [Bit; 32],
    order: [[Bit; 4]; 4],
    shift_same: Bit,
    shift: [Bit; 64],
    steady: [Bit; 16],
    head: Numbers<17>,
    low_bits: LowBits,
    small: Numbers<SMALL_CONTEXTS>,
    last: Last,
    /// Scratch of the encoder.
    cells: Vec<Cell>,
    work: Vec<i64>,
}

/// Models of Rice parameters by the one before. Most of a small block are never used, and they are
/// most of a context, so each is made when it is.
#[derive(Debug)]
struct LowBits {
    models: [[Bit; 64]; LOW_BITS_MAX + 1],
    /// One bit for each that was made.
    made: u64,
}

const _: () = assert!(LOW_BITS_MAX < 64);

impl LowBits {
    const fn new() -> Self {
        Self {
            models: [[Bit::ZERO; 64]; LOW_BITS_MAX + 1],
            made: 0,
        }
    }

    fn after(&mut self, low_bits: usize) -> &mut [Bit; 64] {
        let models = &mut self.models[low_bits];
        if self.made >> low_bits & 1 == 0 {
            self.made |= 1 << low_bits;
            *models = [Bit::NEW; 64];
        }
        models
    }
}

/// Residuals that share one Rice parameter: all of a block of a minute, while longer ones follow
/// a series that changes its ways.
const GROUP: usize = 16;

/// What the next column is likely to share.
#[derive(Debug, Default)]
struct Last {
    plain: bool,
    /// The cells of the last column that was not all numbers.
    cells: Vec<Cell>,
    plan: Plan,
    /// One bit for each of the last columns, the newest lowest: the plan was that before it.
    plan_same: usize,
    /// One bit for each of the last columns, the newest lowest.
    steady: usize,
    head_class: usize,
    low_bits: usize,
}

/// How the integers of a column are to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Plan {
    exponent: usize,
    order: u8,
    /// Bits that are zero at the end of all of them.
    shift: usize,
}

impl Context {
    pub(super) fn new() -> Self {
        Self {
            plain: [Bit::NEW; 2],
            again: Bit::NEW,
            cell: [[Bit::NEW; 4]; 3],
            stale: Bit::NEW,
            plan_same: [Bit::NEW; 4],
            exponent_same: Bit::NEW,
            exponent: [Bit::NEW; 32],
            order: [[Bit::NEW; 4]; 4],
            shift_same: Bit::NEW,
            shift: [Bit::NEW; 64],
            steady: [Bit::NEW; 16],
            head: Numbers::new(),
            low_bits: LowBits::new(),
            small: Numbers::new(),
            last: Last::default(),
            cells: Vec::new(),
            work: Vec::new(),
        }
    }

    pub(super) fn put(&mut self, encoder: &mut Encoder, column: &Column, rows: usize) {
        let scaled = scale(&column.values, 1 + column.values.len() / 8);
        let mut specials = scaled
            .as_ref()
            .map(|it| it.exceptions.as_slice())
            .unwrap_or_default();
        let count = column.rows.count(rows);
        self.work.clear();
        match &scaled {
            Some(scaled) => self.work.extend_from_slice(&scaled.integers),
            None => self.work.extend(
                column
                    .values
                    .iter()
                    .map(|value| value.to_bits().cast_signed()),
            ),
        }
        self.work.resize(count, 0);
        let plain = count == rows && specials.is_empty();
        if !plain {
            let mut index = 0;
            self.cells.clear();
            for row in 0..rows {
                self.cells.push(if !column.rows.has(row) {
                    Cell::Gap
                } else {
                    index += 1;
                    match specials.split_first() {
                        Some((first, rest)) if first.0 == index - 1 => {
                            specials = rest;
                            Cell::Special
                        }
                        _ => Cell::Number,
                    }
                });
            }
            // Only numbers are left among the integers.
            let mut cells = self.cells.iter().filter(|&&cell| cell != Cell::Gap);
            self.work.retain(|_| cells.next() == Some(&Cell::Number));
        }
        self.put_pattern(encoder, plain);
        for (_, value) in scaled.iter().flat_map(|it| &it.exceptions) {
            let stale = series::is_stale(*value);
            encoder.bit(&mut self.stale, !stale);
            if !stale {
                encoder.plain(value.to_bits(), 32);
                encoder.plain(value.to_bits() >> 32, 32);
            }
        }
        if !self.work.is_empty() {
            let exponent = scaled.map_or(FLOATS, |scaled| scaled.exponent.into());
            self.put_integers(encoder, exponent);
        }
    }

    fn put_pattern(&mut self, encoder: &mut Encoder, plain: bool) {
        encoder.bit(&mut self.plain[usize::from(self.last.plain)], !plain);
        self.last.plain = plain;
        if plain {
            return;
        }
        let again = self.cells == self.last.cells;
        encoder.bit(&mut self.again, !again);
        if !again {
            let mut before = Cell::Number;
            for &cell in &self.cells {
                encoder.tree(&mut self.cell[before as usize], 2, cell as usize);
                before = cell;
            }
            std::mem::swap(&mut self.last.cells, &mut self.cells);
        }
    }

    fn put_integers(&mut self, encoder: &mut Encoder, exponent: usize) {
        let ones = self.work.iter().fold(0, |have, integer| have | integer);
        let shift = if ones == 0 {
            self.last.plan.shift
        } else {
            ones.trailing_zeros() as usize
        };
        for integer in &mut self.work {
            *integer >>= shift;
        }
        let order = best_order(&self.work);
        difference(&mut self.work, order);
        self.put_plan(
            encoder,
            Plan {
                exponent,
                order,
                shift,
            },
        );
        let (heads, residuals) = self.work.split_at(usize::from(order).min(self.work.len()));
        for &head in heads {
            let context = self.last.head_class.min(16);
            self.last.head_class = self.head.put(encoder, context, zigzag(head));
        }
        let mut context = SmallContext::default();
        for group in residuals.chunks(GROUP) {
            let steady = group.iter().all(|&residual| residual == 0);
            encoder.bit(&mut self.steady[self.last.steady & 15], steady);
            self.last.steady = self.last.steady << 1 | usize::from(steady);
            if steady {
                continue;
            }
            let low_bits = rice_low_bits(group);
            encoder.tree(self.low_bits.after(self.last.low_bits), 6, low_bits);
            self.last.low_bits = low_bits;
            for &residual in group {
                let value = zigzag(residual);
                if low_bits == 0 {
                    context.then(self.small.put(encoder, context.index(), value));
                } else {
                    encoder.rice(value, bits(low_bits));
                }
            }
        }
    }

    fn put_plan(&mut self, encoder: &mut Encoder, plan: Plan) {
        let last = self.last.plan;
        let same = plan == last;
        encoder.bit(&mut self.plan_same[self.last.plan_same & 3], !same);
        self.last.plan_same = self.last.plan_same << 1 | usize::from(same);
        if same {
            return;
        }
        encoder.bit(&mut self.exponent_same, plan.exponent != last.exponent);
        if plan.exponent != last.exponent {
            encoder.tree(&mut self.exponent, 5, plan.exponent);
        }
        encoder.bit(&mut self.shift_same, plan.shift != last.shift);
        if plan.shift != last.shift {
            encoder.tree(&mut self.shift, 6, plan.shift);
        }
        encoder.tree(
            &mut self.order[usize::from(last.order)],
            2,
            plan.order.into(),
        );
        self.last.plan = plan;
    }

    pub(super) fn take(&mut self, decoder: &mut Decoder<'_>, rows: usize) -> Result<Column, Error> {
        let plain = !decoder.bit(&mut self.plain[usize::from(self.last.plain)]);
        self.last.plain = plain;
        if plain {
            let values = self.take_integers(decoder, rows)?;
            return Ok(Column {
                rows: Rows::All,
                values,
            });
        }
        if decoder.bit(&mut self.again) {
            self.last.cells.clear();
            let mut before = Cell::Number;
            for _ in 0..rows {
                before = Cell::ALL[decoder.tree(&mut self.cell[before as usize], 2)];
                self.last.cells.push(before);
            }
        } else if self.last.cells.len() != rows {
            return Err(Error::Invalid {
                what: "a pattern of gaps",
            });
        }
        let specials: Vec<f64> = (0..self.count(Cell::Special))
            .map(|_| {
                if decoder.bit(&mut self.stale) {
                    f64::from_bits(decoder.plain(32) | decoder.plain(32) << 32)
                } else {
                    STALE_NAN
                }
            })
            .collect();
        let numbers = self.take_integers(decoder, self.count(Cell::Number))?;
        let flags: Vec<bool> = self
            .last
            .cells
            .iter()
            .map(|&cell| cell != Cell::Gap)
            .collect();
        let (mut specials, mut numbers) = (specials.into_iter(), numbers.into_iter());
        let mut values = Values::with_capacity(specials.len() + numbers.len());
        values.extend(self.last.cells.iter().filter_map(|cell| match cell {
            Cell::Number => numbers.next(),
            Cell::Gap => None,
            Cell::Special => specials.next(),
        }));
        Ok(Column {
            rows: Rows::from_flags(&flags),
            values,
        })
    }

    fn count(&self, kind: Cell) -> usize {
        self.last.cells.iter().filter(|&&cell| cell == kind).count()
    }

    fn take_integers(&mut self, decoder: &mut Decoder<'_>, count: usize) -> Result<Values, Error> {
        if count == 0 {
            return Ok(Values::new());
        }
        let Plan {
            exponent,
            order,
            shift,
        } = self.take_plan(decoder)?;
        let heads = usize::from(order).min(count);
        let integers = &mut self.work;
        integers.clear();
        for _ in 0..heads {
            let context = self.last.head_class.min(16);
            let (value, class) = self.head.take(decoder, context);
            self.last.head_class = class;
            integers.push(unzigzag(value));
        }
        let mut context = SmallContext::default();
        while integers.len() < count {
            let end = count.min(integers.len() + GROUP);
            let steady = decoder.bit(&mut self.steady[self.last.steady & 15]);
            self.last.steady = self.last.steady << 1 | usize::from(steady);
            if steady {
                integers.resize(end, 0);
                continue;
            }
            let low_bits = decoder.tree(self.low_bits.after(self.last.low_bits), 6);
            self.last.low_bits = low_bits.min(LOW_BITS_MAX);
            while integers.len() < end {
                let value = if low_bits == 0 {
                    let (value, class) = self.small.take(decoder, context.index());
                    context.then(class);
                    value
                } else {
                    decoder.rice(bits(self.last.low_bits))
                };
                integers.push(unzigzag(value));
            }
        }
        integrate(integers, order);
        for integer in integers.iter_mut() {
            *integer <<= shift;
        }
        if exponent == FLOATS {
            return Ok(integers
                .iter()
                .map(|it| f64::from_bits(it.cast_unsigned()))
                .collect());
        }
        u8::try_from(exponent)
            .ok()
            .and_then(|exponent| unscale(integers, exponent))
            .ok_or(Error::Invalid {
                what: "a decimal exponent",
            })
    }

    fn take_plan(&mut self, decoder: &mut Decoder<'_>) -> Result<Plan, Error> {
        let same = !decoder.bit(&mut self.plan_same[self.last.plan_same & 3]);
        self.last.plan_same = self.last.plan_same << 1 | usize::from(same);
        let plan = &mut self.last.plan;
        if same {
            return Ok(*plan);
        }
        if decoder.bit(&mut self.exponent_same) {
            plan.exponent = decoder.tree(&mut self.exponent, 5);
        }
        if decoder.bit(&mut self.shift_same) {
            plan.shift = decoder.tree(&mut self.shift, 6);
        }
        plan.order = match decoder.tree(&mut self.order[usize::from(plan.order)], 2) {
            0 => 0,
            1 => 1,
            2 => 2,
            _ => {
                return Err(Error::Invalid {
                    what: "an order of differences",
                });
            }
        };
        Ok(*plan)
    }
}
