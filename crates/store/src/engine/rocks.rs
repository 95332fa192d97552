//! The engine that ships: RocksDB.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType,
    IteratorMode, Options, ReadOptions, WriteBatch, WriteOptions,
};

use super::{Batch, Durability, Engine, EngineError, Family, Op, Visit};

/// How much memory the database may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RocksConfig {
    /// For blocks read back, shared by all families.
    pub block_cache_bytes: usize,
    /// For writes not yet in files, all families together.
    pub write_buffer_bytes: usize,
}

impl Default for RocksConfig {
    fn default() -> Self {
        Self {
            block_cache_bytes: 64 << 20,
            write_buffer_bytes: 64 << 20,
        }
    }
}

/// A RocksDB database with one column family for each [`Family`].
pub struct Rocks {
    db: DB,
    path: PathBuf,
}

fn failed(doing: &'static str) -> impl FnOnce(rocksdb::Error) -> EngineError {
    move |source| EngineError {
        doing,
        source: Box::new(source),
    }
}

impl Rocks {
    /// Opens the database in `path`, making it when there is none. Only one process may have it
    /// open.
    ///
    /// # Errors
    /// When another process has it open, or it cannot be made, read or recovered.
    pub fn open(path: &Path, config: RocksConfig) -> Result<Self, EngineError> {
        let cache = Cache::new_lru_cache(config.block_cache_bytes);
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_db_write_buffer_size(config.write_buffer_bytes);
        options.set_max_total_wal_size(4 * config.write_buffer_bytes as u64);
        options.set_max_background_jobs(2);
        options.set_keep_log_file_num(4);
        options.set_max_log_file_size(4 << 20);
        // A torn tail is a write that was never acknowledged: drop it and go on.
        options.set_wal_recovery_mode(rocksdb::DBRecoveryMode::PointInTime);
        let families = Family::ALL.map(|family| {
            ColumnFamilyDescriptor::new(family.name(), family_options(family, &cache))
        });
        let db = DB::open_cf_descriptors(&options, path, families)
            .map_err(failed("opening the database"))?;
        Ok(Self {
            db,
            path: path.to_owned(),
        })
    }

    fn family(&self, family: Family) -> Result<&ColumnFamily, EngineError> {
        self.db.cf_handle(family.name()).ok_or_else(|| EngineError {
            doing: "finding a column family",
            source: format!("{} is not open", family.name()).into(),
        })
    }
}

fn family_options(family: Family, cache: &Cache) -> Options {
    let mut options = Options::default();
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_format_version(5);
    match family {
        // Values are compressed already; what zstd finds is in the keys and headers between them.
        Family::Chunks | Family::Times => {
            blocks.set_block_size(16 << 10);
            options.set_compression_type(DBCompressionType::Lz4);
            options.set_bottommost_compression_type(DBCompressionType::Zstd);
        }
        Family::Journal => options.set_compression_type(DBCompressionType::None),
        Family::Series | Family::Partitions | Family::Meta | Family::State => {
            options.set_compression_type(DBCompressionType::Zstd);
        }
    }
    options.set_block_based_table_factory(&blocks);
    options
}

impl Engine for Rocks {
    fn write(&self, batch: Batch, durability: Durability) -> Result<(), EngineError> {
        let mut rows = WriteBatch::default();
        for op in &batch.ops {
            match op {
                Op::Put(family, key, value) => rows.put_cf(self.family(*family)?, key, value),
                Op::Delete(family, key) => rows.delete_cf(self.family(*family)?, key),
                Op::DeleteRange(family, start, end) => {
                    rows.delete_range_cf(self.family(*family)?, start, end);
                }
            }
        }
        let mut options = WriteOptions::default();
        options.set_sync(durability == Durability::Synced);
        self.db
            .write_opt(rows, &options)
            .map_err(failed("writing a batch"))
    }

    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        self.db
            .get_cf(self.family(family)?, key)
            .map_err(failed("reading a row"))
    }

    fn scan(
        &self,
        family: Family,
        start_inclusive: &[u8],
        end_exclusive: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), EngineError> {
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(start_inclusive);
        options.set_iterate_upper_bound(end_exclusive);
        for row in self
            .db
            .iterator_cf_opt(self.family(family)?, options, IteratorMode::Start)
        {
            let (key, value) = row.map_err(failed("scanning rows"))?;
            if let ControlFlow::Break(()) = visit(&key, &value) {
                break;
            }
        }
        Ok(())
    }

    fn drop_range(
        &self,
        family: Family,
        start_inclusive: &[u8],
        end_exclusive: &[u8],
    ) -> Result<(), EngineError> {
        let handle = self.family(family)?;
        let mut rows = WriteBatch::default();
        rows.delete_range_cf(handle, start_inclusive, end_exclusive);
        self.db.write(rows).map_err(failed("removing a range"))?;
        // Whole files inside the range go at once; compaction takes the rest.
        self.db
            .delete_file_in_range_cf(handle, start_inclusive, end_exclusive)
            .map_err(failed("dropping the files of a range"))
    }

    fn disk_bytes(&self) -> u64 {
        // Every file, journal included; a file that goes while it is counted does not count.
        std::fs::read_dir(&self.path).map_or(0, |entries| {
            let sizes = entries.flatten().filter_map(|entry| entry.metadata().ok());
            sizes
                .filter(std::fs::Metadata::is_file)
                .map(|file| file.len())
                .sum()
        })
    }
}
