//! Small helpers between the types of the model and `SQLite`.

use crate::StoreError;
use rusqlite::types::{FromSql, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, Params, Row};

/// A 128-bit identity or hash as 16 bytes.
#[derive(Clone, Copy)]
pub(crate) struct Id([u8; 16]);

impl Id {
    pub(crate) const fn new(number: u128) -> Self {
        Self(number.to_be_bytes())
    }

    pub(crate) const fn number(self) -> u128 {
        u128::from_be_bytes(self.0)
    }
}

impl ToSql for Id {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Blob(&self.0)))
    }
}

impl FromSql for Id {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        <[u8; 16]>::column_result(value).map(Self)
    }
}

/// An identity from a column.
pub(crate) fn id(row: &Row<'_>, column: usize) -> Result<u128, StoreError> {
    Ok(row.get::<_, Id>(column)?.number())
}

/// A number from a column; all 64 bits are kept.
pub(crate) fn number(row: &Row<'_>, column: usize) -> Result<u64, StoreError> {
    Ok(row.get::<_, i64>(column)?.cast_unsigned())
}

/// The first row, if there is one.
pub(crate) fn one<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnOnce(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    match rows.next()? {
        Some(row) => read(row).map(Some),
        None => Ok(None),
    }
}

/// All rows.
pub(crate) fn all<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    mut read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

/// Runs a statement that gives no rows, and says how many it changed.
pub(crate) fn run(connection: &Connection, sql: &str, params: impl Params) -> Result<usize, StoreError> {
    Ok(connection.prepare_cached(sql)?.execute(params)?)
}
